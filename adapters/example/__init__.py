"""What `unwaith adapter new` begins with: an adapter, its conformance test and its package. Nothing here is registered."""
