# Pob math o newid: yn y rhestr, uwchben ei linell amser, uwchben y cwestiwn a ddylid ei ganslo.
changes-address = Newid cyfeiriad
change-title-address = Eich newid cyfeiriad
cancel-title-address = Canslo eich newid cyfeiriad
changes-name = Newid enw
change-title-name = Eich newid enw
cancel-title-name = Canslo eich newid enw
changes-contact = Newid ffôn neu e-bost
change-title-contact = Eich newid ffôn neu e-bost
cancel-title-contact = Canslo eich newid ffôn neu e-bost
changes-language = Newid iaith neu fformat
change-title-language = Eich newid iaith neu fformat
cancel-title-language = Canslo eich newid iaith neu fformat
changes-bereavement = Marwolaeth
change-title-bereavement = Y farwolaeth y dywedoch wrthym amdani
cancel-title-bereavement = Tynnu’n ôl yr hyn a ddywedoch wrthym am farwolaeth

# Beth yw enw pob rhan ohonynt.
field-previous-name = Enw blaenorol
field-new-name = Enw newydd
field-title = Teitl
field-reason = Pam y newidiodd
field-evidence-reference = Rhif y dystysgrif neu’r weithred
field-home-address = Cyfeiriad cartref
field-previous-contact = Ffôn neu e-bost blaenorol
field-new-contact = Ffôn neu e-bost newydd
field-previous-language = Iaith flaenorol
field-new-language = Iaith newydd
field-previous-formats = Fformatau yr oedd eu hangen
field-new-formats = Fformatau sydd eu hangen
field-deceased = Pwy fu farw
field-death-date = Dyddiad y farwolaeth
field-registration = Cofrestriad y farwolaeth
field-informant = Beth oeddech chi iddynt

# Yr hyn a ddewisir ynddynt.
name-reason-marriage = Priodas
name-reason-civil-partnership = Partneriaeth sifil
name-reason-divorce = Ysgariad, neu ddiwedd partneriaeth sifil
name-reason-deed-poll = Gweithred newid enw
name-reason-correction = Cywiro camgymeriad
format-standard = Print safonol
format-large-print = Print bras
format-braille = Braille
format-easy-read = Hawdd ei Ddeall
format-bsl = Iaith Arwyddion Prydain
format-text-relay = Cyfnewid testun
informant-spouse = Gŵr neu wraig
informant-civil-partner = Partner sifil
informant-partner = Partner
informant-child = Mab neu ferch
informant-parent = Rhiant
informant-sibling = Brawd neu chwaer
informant-other-relative = Perthynas arall
informant-executor = Ysgutor
informant-present-at-death = Yn bresennol pan fu farw
informant-arranging-funeral = Yn trefnu’r angladd
informant-other = Rhywun arall
