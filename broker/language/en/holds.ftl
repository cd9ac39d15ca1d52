# What keeps a change from being sent, as its person is told.
status-held = Held
happened-held = You sent your change. Nobody is told while it is held.
sent-held = We have kept your change, and nobody is told of it yet.
held-needs-person = A person will look at this change before anybody is told.
held-awaits-registrar = Nobody is told before a registrar has confirmed the death.
held-registrar-differs = What a registrar confirmed is not the same as what you told us. A person will look at it before anybody is told.
held-new-account = You have only just begun to use this service. For your safety nobody is told before { $until }.
held-contact-changed = The email address we write to has only just changed. For your safety nobody is told before { $until }.
held-objected = Somebody who reads messages we sent to you said that this was not you. Nobody else is told until you have said which is right.
held-over = It was held from { $since } to { $ended }.
held-refused = A person looked at this change on { $at } and decided that it will not be sent.
told-already-title = You have told us this already
told-already-body = Everybody you want to tell has been told this, or is about to be, with your change { $reference }. Nobody is told twice.
too-many-title = You cannot send more changes today
too-many-body = For your safety we take in only so many changes from one person in a day. This one has not been sent. Your answers are kept; try again tomorrow.
