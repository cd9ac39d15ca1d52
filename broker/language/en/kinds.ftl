# Each type of change: in the list, over its timeline, over the question whether to cancel it.
changes-address = Change of address
change-title-address = Your change of address
cancel-title-address = Cancel your change of address
changes-name = Change of name
change-title-name = Your change of name
cancel-title-name = Cancel your change of name
changes-contact = Change of telephone or e-mail
change-title-contact = Your change of telephone or e-mail
cancel-title-contact = Cancel your change of telephone or e-mail
changes-language = Change of language or format
change-title-language = Your change of language or format
cancel-title-language = Cancel your change of language or format
changes-bereavement = A death
change-title-bereavement = The death you told us of
cancel-title-bereavement = Take back what you told us of a death

# What each part of them is called.
field-previous-name = Previous name
field-new-name = New name
field-title = Title
field-reason = Why it changed
field-evidence-reference = Number of the certificate or deed
field-home-address = Home address
field-previous-contact = Previous telephone or e-mail
field-new-contact = New telephone or e-mail
field-previous-language = Previous language
field-new-language = New language
field-previous-formats = Formats needed before
field-new-formats = Formats needed
field-deceased = Who died
field-death-date = Date of death
field-registration = Registration of the death
field-informant = What you were to them

# What is chosen in them.
name-reason-marriage = Marriage
name-reason-civil-partnership = Civil partnership
name-reason-divorce = Divorce, or end of a civil partnership
name-reason-deed-poll = Deed poll
name-reason-correction = Correction of a mistake
format-standard = Standard print
format-large-print = Large print
format-braille = Braille
format-easy-read = Easy Read
format-bsl = British Sign Language
format-text-relay = Text relay
informant-spouse = Husband or wife
informant-civil-partner = Civil partner
informant-partner = Partner
informant-child = Son or daughter
informant-parent = Parent
informant-sibling = Brother or sister
informant-other-relative = Another relative
informant-executor = Executor
informant-present-at-death = Present at the death
informant-arranging-funeral = Arranging the funeral
informant-other = Somebody else
