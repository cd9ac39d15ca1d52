# Taith newid cyfeiriad.
change = Newid
or = neu
warning = Rhybudd

kind-title = Beth sydd wedi newid?
kind-address = Fy nghyfeiriad
kind-other = Rhywbeth arall
kind-missing = Dewiswch yr hyn sydd wedi newid
other-title = Ni allwch ddweud hynny wrthym yma eto
other-body = Gallwch ddweud wrthym am eich cyfeiriad, eich enw, sut mae cysylltu â chi, eich iaith a’ch fformatau, a marwolaeth. Rhowch wybod i bob sefydliad eich hun am unrhyw beth arall.

identity-title = Profwch pwy ydych chi
identity-why = Gellir camddefnyddio’r hyn a ddywedir yma, er enghraifft i ddwyn post rhywun. Felly, cyn i chi ddweud wrthym, rhaid i chi brofi mai chi yw’r person yr ydych yn dweud ydych chi.
identity-how = Byddwch yn mynd at y gwasanaeth mewngofnodi i wneud hyn, ac yn dod yn ôl yma wedyn.
identity-button = Parhau i brofi pwy ydych chi
not-proven-title = Ni allem brofi pwy ydych chi
not-proven-body = Ni allai’r gwasanaeth mewngofnodi brofi pwy ydych chi. Ni chafodd dim ei anfon at neb.
not-proven-instead = Gallwch roi cynnig arall arni, neu roi gwybod i bob sefydliad eich hun.

new-postcode-title = Beth yw cod post eich cyfeiriad newydd?
new-choose-title = Dewiswch eich cyfeiriad newydd
new-type-title = Beth yw eich cyfeiriad newydd?
previous-postcode-title = Beth yw cod post eich cyfeiriad blaenorol?
previous-choose-title = Dewiswch eich cyfeiriad blaenorol
previous-type-title = Beth yw eich cyfeiriad blaenorol?
postcode-label = Cod post
postcode-hint = Er enghraifft, SA99 9AA
postcode-missing = Rhowch y cod post
postcode-wrong = Rhowch god post llawn yn y DU
postcode-unknown = Ni ddaethom o hyd i gyfeiriadau yn y cod post hwn. Gwiriwch ef, neu deipio’r cyfeiriad yn lle hynny
postcode-not-real = Nid ydym yn adnabod y cod post hwn. Gwiriwch ef
part-label = Rhan o’r cyfeiriad (dewisol)
part-hint = Os nad ydych yn gwybod y cod post, teipiwch yr hyn a wyddoch. Er enghraifft, 3 Stryd y Morwellt, Abertawe
part-unknown = Ni ddaethom o hyd i gyfeiriad o’r fath. Gwiriwch yr hyn a deipiwyd gennych, neu teipiwch y cyfeiriad cyfan yn lle hynny
gazetteer-away = Ni allwn chwilio am gyfeiriadau ar hyn o bryd. Teipiwch y cyfeiriad yn lle hynny, neu rhowch gynnig arall arni yn nes ymlaen
type-instead = Teipio’r cyfeiriad yn lle hynny
choose-hint = Cyfeiriadau a gafwyd ar gyfer { $asked }
choose-invented = Cyfeiriadau enghreifftiol yw’r rhain. Nid ydynt yn bodoli yn unman.
choose-none = Nid yw fy nghyfeiriad ar y rhestr
choose-missing = Dewiswch gyfeiriad
choose-search-again = Chwilio eto
type-flat = Fflat (dewisol)
type-building = Rhif neu enw’r adeilad
type-street = Stryd (dewisol)
type-locality = Pentref neu ardal (dewisol)
type-town = Tref neu Ddinas
type-building-missing = Rhowch rif neu enw’r adeilad
type-town-missing = Rhowch y dref neu’r ddinas
text-not-allowed = Defnyddiwch lythrennau, rhifau ac atalnodi cyffredin yn unig
text-too-long = Rhaid i hwn fod yn 100 nod neu lai
address-same = Ni chaiff y cyfeiriad newydd a’r cyfeiriad blaenorol fod yr un fath
suggested-title = Eich cyfeiriad blaenorol
suggested-body = Mae’r gwasanaeth mewngofnodi’n gwybod am y cyfeiriad hwn:
suggested-question = Ai dyma’r cyfeiriad y gwnaethoch symud ohono?
suggested-yes = Ie, symudais oddi yno
suggested-no = Nage, symudais o rywle arall
suggested-missing = Dewiswch ai oddi yno y gwnaethoch symud

date-title = Pryd wnaethoch chi symud, neu pryd byddwch chi’n symud?
date-hint = Er enghraifft, 27 3 2026
date-day = Diwrnod
date-month = Mis
date-year = Blwyddyn
date-missing = Rhowch ddyddiad
date-day-missing = Rhaid i’r dyddiad gynnwys diwrnod
date-month-missing = Rhaid i’r dyddiad gynnwys mis
date-year-missing = Rhaid i’r dyddiad gynnwys blwyddyn
date-unreal = Rhowch ddyddiad gwirioneddol
date-too-far = Rhaid i’r dyddiad fod o fewn blwyddyn i heddiw
date-too-long-ago = Rhaid i’r dyddiad fod o fewn y deng mlynedd diwethaf

children-title = Pwy symudodd gyda chi
children-adults = Dywedwch wrthym am blant o dan 18 oed yn unig. Mae pob oedolyn yn dweud am ei symudiad ei hun, fel na chaiff cyfeiriad newydd neb ei ddatgelu gan rywun arall.
children-question = A symudodd unrhyw blant gyda chi?
children-yes = Do, symudodd plant gyda mi
children-no = Naddo, ni symudodd plant gyda mi
children-missing = Dewiswch a symudodd unrhyw blant gyda chi
child-title = Plentyn a symudodd gyda chi
child-given = Enw cyntaf
child-family = Enw olaf
child-born-legend = Dyddiad geni
child-name-missing = Rhowch enw’r plentyn
child-born-later = Rhaid i’r dyddiad geni fod cyn y diwrnod y gwnaethoch symud
child-adult = Mae’r person hwn yn 18 oed neu’n hŷn pan fyddwch yn symud. Rhaid iddo ddweud wrthym am ei symudiad ei hun
child-born = { $name }, ganwyd { $born }
children-list-title = { $n ->
    [zero] Nid ydych wedi ychwanegu unrhyw blant
    [one] Rydych wedi ychwanegu 1 plentyn
    [two] Rydych wedi ychwanegu 2 blentyn
    [few] Rydych wedi ychwanegu { $n } phlentyn
    [many] Rydych wedi ychwanegu { $n } phlentyn
   *[other] Rydych wedi ychwanegu { $n } plentyn
}
children-remove = Tynnu
children-remove-named = Tynnu { $child }
children-more = A symudodd plentyn arall gyda chi?
children-more-yes = Do, rwyf am ychwanegu plentyn arall
children-more-no = Naddo, dyna bawb
children-more-missing = Dewiswch a symudodd plentyn arall gyda chi
children-full = Ni allwch ychwanegu rhagor o blant yma.

private-title = Cadw eich cyfeiriad newydd yn breifat
private-body = Rhaid i rai pobl gadw eu cyfeiriad newydd yn breifat oherwydd y gallai rhywun eu niweidio.
private-question = A oes rhaid cadw eich cyfeiriad newydd yn breifat?
private-yes = Oes, rhaid ei gadw’n breifat
private-no = Nac oes, gellir ei rannu â’r sefydliadau a ddangosir i mi
private-missing = Dewiswch a oes rhaid cadw eich cyfeiriad newydd yn breifat
private-person-title = Bydd person yn eich helpu
private-person-nothing-sent = Nid oes dim wedi’i anfon at neb.
private-person-removed = Mae’r hyn a lenwoch am eich cyfeiriad newydd wedi’i ddileu oddi yma.
private-person-body = Peidiwch â dweud eich cyfeiriad newydd wrthym yma. Cysylltwch â’ch cyngor a dywedwch fod rhaid cadw eich cyfeiriad yn breifat; bydd person yno yn delio ag ef.
private-person-danger = Os ydych mewn perygl nawr, ffoniwch 999. Mae llinell gymorth Byw Heb Ofn ar gael am ddim, ddydd a nos: 0808 80 10 800.
private-person-back = Nid oes rhaid cadw fy nghyfeiriad yn breifat

contact-title = Sut y byddwn yn ysgrifennu atoch
contact-language = Ym mha iaith y dylem ysgrifennu atoch?
contact-language-hint = Rydym hefyd yn dweud hyn wrth sefydliadau a gaiff wybod.
contact-in-welsh = Yn Gymraeg
contact-in-english = Yn Saesneg
contact-language-missing = Dewiswch iaith
contact-by = A ydych am gael cadarnhad drwy e-bost?
contact-by-hint = Mae’n rhoi eich cyfeirnod. Nid yw byth yn dweud beth a newidiodd.
contact-by-email = Ydw, at { $email }
contact-by-none = Nac ydw, nid wyf am gael cadarnhad
contact-by-missing = Dewiswch a ydych am gael cadarnhad drwy e-bost
contact-no-email = Ni roddodd y gwasanaeth mewngofnodi gyfeiriad e-bost i ni ar eich cyfer, felly ni allwn anfon cadarnhad atoch. Byddwch yn gweld eich cyfeirnod ar y dudalen.

tell-title = Pwy fydd yn cael gwybod
tell-lead = { $n ->
    [zero] Ni fyddwn yn rhoi gwybod i unrhyw sefydliad.
    [one] Byddwn yn rhoi gwybod i 1 sefydliad. Dyma’n union yr hyn y bydd yn ei gael.
    [two] Byddwn yn rhoi gwybod i 2 sefydliad. Dyma’n union yr hyn y bydd pob un yn ei gael.
    [few] Byddwn yn rhoi gwybod i { $n } sefydliad. Dyma’n union yr hyn y bydd pob un yn ei gael.
    [many] Byddwn yn rhoi gwybod i { $n } sefydliad. Dyma’n union yr hyn y bydd pob un yn ei gael.
   *[other] Byddwn yn rhoi gwybod i { $n } sefydliad. Dyma’n union yr hyn y bydd pob un yn ei gael.
}
tell-changed = Mae eich atebion wedi newid ers i chi weld y dudalen hon ddiwethaf, ac felly hefyd yr hyn a anfonir. Gwiriwch ef eto.
tell-unverified-new = Ni allem wirio eich cyfeiriad newydd ar hyn o bryd. Dim ond sefydliadau sydd wedi cytuno i dderbyn cyfeiriad heb ei wirio fydd yn cael gwybod. Gallwch aros a dweud wrthym yn nes ymlaen.
tell-unverified-old = Ni allem wirio eich cyfeiriad blaenorol ar hyn o bryd. Dim ond sefydliadau sydd wedi cytuno i dderbyn cyfeiriad heb ei wirio fydd yn cael gwybod. Gallwch aros a dweud wrthym yn nes ymlaen.
tell-why = Pam y mae’n cael gwybod
tell-purpose = Diben ei gytundeb
tell-basis = Sail gyfreithlon
tell-choice = Eich dewis chi
tell-required = Rhaid rhoi gwybod iddo yn ôl y gyfraith
tell-optional = Gallwch ei hepgor
tell-leave-out = Pa rai o’r rhain ddylai gael gwybod?
tell-leave-out-hint = Cliriwch flwch unrhyw un nad ydych am iddo gael gwybod.
tell-nobody-left = Dewiswch o leiaf un sefydliad i gael gwybod
tell-nobody-else = Ni fydd neb arall yn cael gwybod.
basis-public-task = Tasg gyhoeddus (GDPR y DU, Erthygl 6(1)(e))
nobody-title = Nid oes neb y gallwn roi gwybod iddo
nobody-body = Nid oes angen i’r un o’r sefydliadau sy’n cymryd rhan wybod am y newid hwn. Nid oes dim wedi’i anfon. Rhowch wybod i bob sefydliad eich hun.
nobody-check = Gwirio’r hyn a lenwoch

field-name = Enw
field-birth-date = Dyddiad geni
field-identity-level = Sut y profwyd pwy ydych chi
field-preferred-language = Eich iaith
field-identifiers = Rhifau a roesoch
field-previous-address = Cyfeiriad blaenorol
field-new-address = Cyfeiriad newydd
field-effective-date = O ba ddiwrnod
field-household = Plant a symudodd
field-move-kind = Math o symud
field-tenure = Sut yr ydych yn dal eich cartref
field-role = Beth yw’r symud iddo
identity-level-proven = Profwyd gan y gwasanaeth mewngofnodi (lefel { $level })
language-cy = Cymraeg
language-en = Saesneg
role-leaving = Rydych yn gadael ei ardal
role-arriving = Rydych yn symud i’w ardal
role-resident = Mae’r cartref yn ei ardal
role-national = Mae’n gwasanaethu Cymru gyfan
move-kind-permanent = Am byth
move-kind-temporary = Am gyfnod
tenure-owner = Perchennog
tenure-private-tenant = Tenant preifat
tenure-social-tenant = Tenant i gyngor neu gymdeithas dai
tenure-with-others = Yn byw gydag eraill
tenure-other = Rhywbeth arall

check-title = Gwiriwch eich atebion
check-changed = Cafodd ateb ei newid, efallai mewn tab arall, felly ni anfonwyd dim. Gwiriwch eich atebion eto.
check-name = Eich enw
check-birth-date = Eich dyddiad geni
check-new = Cyfeiriad newydd
check-previous = Cyfeiriad blaenorol
check-date = Dyddiad y symud
check-children = Plant a symudodd
check-children-none = Neb
check-private = Cyfeiriad newydd i’w gadw’n breifat
check-private-no = Nid oes rhaid ei gadw’n breifat
check-language = Yr iaith yr ysgrifennwn ynddi
check-confirmation = Cadarnhad drwy e-bost
check-confirmation-none = Heb ei ddymuno
check-told = Sefydliadau a fydd yn cael gwybod
check-change-new = y cyfeiriad newydd
check-change-previous = y cyfeiriad blaenorol
check-change-date = dyddiad y symud
check-change-children = y plant a symudodd
check-change-private = a oes rhaid cadw’r cyfeiriad newydd yn breifat
check-change-language = yr iaith yr ysgrifennwn ynddi
check-change-confirmation = y cadarnhad drwy e-bost
check-change-told = y sefydliadau a fydd yn cael gwybod

declaration-title = Datganiad
declaration-lead = Drwy anfon hwn rydych yn cadarnhau:
declaration-true = bod yr hyn a ddywedoch wrthym yn wir
declaration-mine = mai eich symudiad chi ydyw, a symudiad y plant a enwoch
declaration-shared = y bydd y sefydliadau a ddangoswyd i chi yn cael gwybod yr hyn a ddangoswyd i chi
declaration-send = Cytuno ac anfon
too-busy-title = Mae’n ddrwg gennym, mae llawer o bobl yn anfon newidiadau ar hyn o bryd
too-busy-body = Nid yw eich newid wedi’i anfon. Mae eich atebion wedi’u cadw. Rhowch gynnig arall arni ymhen munud.
too-busy-again = Rhoi cynnig arall arni
