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

# Changes that need a person: the pages for staff
staff-nav-holds = Decisions
staff-holds-title = Changes that need a decision
staff-holds-body = Nobody is told of these changes until somebody has decided. What was told, and by whom, is hidden until you say why you look.
staff-holds-caption = The oldest first
staff-holds-none = Nothing waits for a decision.
staff-holds-others = Waiting for somebody else’s decision, a registrar’s or the person’s own: { $n }.
staff-holds-age = For
staff-hold-needs_person = A person must weigh the evidence
staff-hold-registrar_differs = A registrar said something else
staff-hold-title = Decide on a change
staff-hold-over = This has been decided, or the person took the change back.
staff-hold-nothing-title = There is nothing for you to decide here
staff-hold-nothing-body = It is another’s decision, or there is no such change.
staff-hold-told = What was told
staff-hold-until = It is shown to you until { $until }. The person can see that you looked, and why.
staff-hold-own = This change is yours, or of somebody who is written to at your address. Somebody else must decide on it.
staff-hold-reveal-body = It is shown to you for fifteen minutes. That is recorded with your name and your reason, and the person can see it.
staff-hold-reveal = Show what was told
staff-hold-decide-body = Released, it is sent at once unless something else holds it. Refused, nobody is ever told of it, and the person is told that it was refused.
staff-hold-earlier = An earlier change of this kind by the same person waits too. Decide on that one first: what is sent last is what counts.
staff-hold-earlier-link = Decide on the earlier change
staff-hold-release = Release it
staff-hold-refuse = Refuse it
staff-reason-evidence = To weigh the evidence
staff-reason-evidence_agrees = Release: the evidence agrees with what was told
staff-reason-spoke_to_person = Release: I spoke to the person
staff-reason-evidence_missing = Refuse: no evidence was sent in time
staff-reason-evidence_differs = Refuse: the evidence says something else
staff-reason-not_the_person = Refuse: it was not the person who told it
staff-did-change-disclosed = Looked at what was told
staff-did-hold-released = Released a held change
staff-did-hold-refused = Refused a held change

# And what the person sees of that.
looked-title = Who has looked at what you told us
looked-evidence = On { $at } a member of our staff looked at it, to weigh the evidence.
looked-person-asked = On { $at } a member of our staff looked at it, because you asked.
looked-audit = On { $at } a member of our staff looked at it, to check our own work.

# A link in a letter, which can only hold, and what its person says to that.
mail-hold = If this was not you, you can stop it for the time being with this link. It can do nothing else.
mail-old-contact-subject = A change was told to Unwaith
mail-old-contact-body = Somebody we used to write to here has told us of a change through Unwaith. If that was you, you do not need to do anything.
hold-ask-title = Stop a change for the time being
hold-ask-body = Use this if you had a letter from us and did not tell us anything. Nobody is told of the change until its person has signed in and said which is right.
hold-ask-after = For everybody’s safety this page does not say what was told.
hold-ask-button = Stop it for the time being
hold-done-title = It has been stopped for the time being
hold-done-body = If you are the person it is about, sign in with your proven identity, look at your changes and cancel it, or say that it was you.
hold-too-late-title = There is nothing left to stop
hold-too-late-body = It was sent off already, was cancelled, or the person it is about has said that it was them. If you are the person it is about, sign in, look at your changes and cancel it: whoever was told is then asked to undo it.
hold-unknown-title = This link does not work
hold-unknown-body = Copy the whole link from the letter. If you are the person it is about, you can also sign in and look at your changes.
hold-release-link = It was me, or it was not: say which
hold-release-title = Did you tell us of this change?
hold-release-body = Somebody who reads letters we sent to you said that it was not you. If it was you, it is sent unless something else holds it.
hold-release-button = It was me: go on
hold-release-cancel = It was not me: cancel the change
hold-release-earlier = An earlier change of yours, of the same kind, is stopped too. Say of that one first whether it was you: what is sent last is what counts.
hold-release-earlier-link = Go to the earlier change
