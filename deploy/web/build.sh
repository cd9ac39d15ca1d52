#!/bin/sh
# Make broker/web/static and tests/support/axe from pinned packages. Needs Node and npm; running the service needs neither.
set -eu
cd "$(dirname "$0")"
PUPPETEER_SKIP_DOWNLOAD=1 PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci
node build.mjs
