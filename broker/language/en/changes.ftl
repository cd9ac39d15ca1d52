# What became of a change, and the confirmation.
sent-title = Your change has been sent
sent-reference = Your reference number
sent-next = What happens next
sent-told = { $n ->
    [one] We are telling 1 organisation. You can watch it deal with your change.
   *[other] We are telling { $n } organisations. You can watch each deal with your change.
}
sent-written = We will send you a confirmation by email.
sent-not-written = Write down your reference number. You chose not to have a confirmation, or we have no email address for you.
sent-follow = Follow your change

changes-title = My changes
changes-none = You have not sent any changes.
changes-new = Tell us about a change
changes-reference = Reference number
changes-told = Sent
changes-progress = How far it is
changes-follow = Follow
changes-follow-named = change { $reference }
changes-done = { $n ->
    [one] { $done } of 1 organisation has finished
   *[other] { $done } of { $n } organisations have finished
}
changes-pages = Pages
changes-newest = Newest
changes-older = Older
timeline-title = What each organisation has done
details-summary = { $name }: what it is told, and why
details-why = Why
details-agreement = Under which agreement
details-agreement-version = { $title }, version { $version }
details-gone = It can no longer be read.
timeline-refresh = Show the latest
timeline-follow = Show the latest again and again, by itself
timeline-follows = This page shows the latest by itself every { $seconds } seconds.
timeline-follow-stop = Stop that
timeline-their-reference = Their reference: { $reference }

# Cancelling.
cancel-link = Cancel this change
cancel-not-told = Organisations that have not been told yet will not be told.
cancel-told = Organisations that have been told will be asked to undo it.
cancel-warning = You cannot take this back. If you change your mind, you will need to tell us again.
cancel-warning-prefix = Warning
cancel-button = Cancel the change
withdrawn-cancelled = You cancelled this change on { $at }.
withdrawn-replaced = You replaced this change with { $reference } on { $at }.
taken-back-title = Asked to undo it

status-waiting = Waiting for its day
status-queued = Waiting to be sent
status-published = On its way
status-stopping = Being stopped
status-cancelled = Cancelled
status-superseded = Replaced
status-undelivered = Not delivered
status-received = Received
status-needs-review = Being looked at
status-rejected = Refused
status-not-matched = Could not find you
status-already-current = Already up to date
status-applied = Updated

happened-waiting = You sent your change. It is kept until its day.
happened-queued = You sent your change.
happened-published = It was sent off.
happened-cancelled = It was cancelled.
happened-revoked = It was not sent: the agreement with this organisation has ended.
happened-superseded = It was replaced by a later change.
happened-undelivered = It could not be delivered. The people who run this service have been told.
happened-received = The organisation received it.
happened-needs-review = A person at the organisation is looking at it.
happened-rejected = The organisation refused it.
happened-not-matched = The organisation could not find you in its records.
happened-already-current = The organisation’s records already showed this.
happened-applied = The organisation updated its records.
happened-placed = It is ready for the organisation to collect.
happened-deferred = The organisation could not be reached. We will try again.
happened-deferred-until = The organisation could not be reached. We will try again after { $at }.
happened-withheld = It was held back.
happened-conflict = The organisation sent a different answer. A person is looking at it.

advice-waiting = It will be sent after { $at }.
advice-not-matched = Contact the organisation and give it your reference number. It may know you by another name or address.
advice-rejected = Contact the organisation and give it your reference number.
advice-needs-review = You do not need to do anything.
advice-undelivered = You do not need to do anything yet. If nothing changes in a few days, contact the organisation.
advice-received = It has not yet said that its records are updated.

mail-hello = Hello
mail-confirmation-subject = We have received what you told us
mail-confirmation-body = You told us of a change through Unwaith, and we have received it.
mail-confirmation-reference = Your reference number is { $reference }.
mail-confirmation-follow = To see what each organisation has done, sign in and choose My changes. For your safety this message does not say what changed.
mail-confirmation-not-you = If this was not you, sign in and look at My changes at once.
mail-goodbye = Unwaith

# Who is not told.
untold-before-title = Who we cannot tell
untold-before-lead = Nothing is sent to these. What you can do instead stands beside each.
untold-after-title = You still need to tell
untold-after-lead = These were not told of your change from here.
untold-not-connected = It does not take part in this service yet.
untold-no-agreement = It takes part in this service, but has no agreement to be told of this kind of change.
untold-not-agreed-for-this = Its agreement does not cover this change.
untold-left-out = It was not told this time: you left it out, it knew the same already, or it has begun to take part since.
untold-outside-wales = This service reaches only organisations that serve Wales.
untold-area-unknown = We could not work out from the address which they are.
untold-no-fixed-abode = Without a fixed address we cannot work out which council is yours.
untold-only-yourself = It takes this from you alone.
untold-in-english = (in English)
