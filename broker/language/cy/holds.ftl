# Yr hyn sy’n atal newid rhag cael ei anfon, fel y dywedir wrth y person.
status-held = Wedi’i ddal yn ôl
happened-held = Gwnaethoch anfon eich newid. Nid oes neb yn cael gwybod tra bydd wedi’i ddal yn ôl.
sent-held = Rydym wedi cadw eich newid, ac nid oes neb yn cael gwybod amdano eto.
held-needs-person = Bydd person yn edrych ar y newid hwn cyn i neb gael gwybod.
held-awaits-registrar = Nid oes neb yn cael gwybod cyn i gofrestrydd gadarnhau’r farwolaeth.
held-registrar-differs = Nid yw’r hyn a gadarnhaodd cofrestrydd yr un fath â’r hyn a ddywedoch wrthym. Bydd person yn edrych arno cyn i neb gael gwybod.
held-new-account = Rydych newydd ddechrau defnyddio’r gwasanaeth hwn. Er eich diogelwch, nid oes neb yn cael gwybod cyn { $until }.
held-contact-changed = Mae’r cyfeiriad e-bost rydym yn ysgrifennu ato newydd newid. Er eich diogelwch, nid oes neb yn cael gwybod cyn { $until }.
held-objected = Dywedodd rhywun sy’n darllen negeseuon a anfonwyd atoch nad chi oedd hwn. Nid oes neb arall yn cael gwybod nes i chi ddweud pa un sy’n gywir.
held-over = Cafodd ei ddal yn ôl o { $since } tan { $ended }.
held-refused = Edrychodd person ar y newid hwn ar { $at } a phenderfynu na fydd yn cael ei anfon.
told-already-title = Rydych wedi dweud hyn wrthym eisoes
told-already-body = Mae pawb rydych am roi gwybod iddynt wedi cael gwybod am hyn, neu ar fin cael gwybod, gyda’ch newid { $reference }. Nid oes neb yn cael gwybod ddwywaith.
too-many-title = Ni allwch anfon rhagor o newidiadau heddiw
too-many-body = Er eich diogelwch, dim ond hyn a hyn o newidiadau y byddwn yn eu cymryd gan un person mewn diwrnod. Nid yw’r newid hwn wedi’i anfon. Mae eich atebion wedi’u cadw; rhowch gynnig arall arni yfory.

# Newidiadau y mae angen person arnynt: y tudalennau i staff
staff-nav-holds = Penderfyniadau
staff-holds-title = Newidiadau y mae angen penderfyniad arnynt
staff-holds-body = Nid oes neb yn cael gwybod am y newidiadau hyn nes bod rhywun wedi penderfynu. Mae’r hyn a ddywedwyd, a chan bwy, wedi’i guddio nes i chi ddweud pam rydych yn edrych.
staff-holds-caption = Yr hynaf yn gyntaf
staff-holds-none = Nid oes dim yn aros am benderfyniad.
staff-holds-others = Yn aros am benderfyniad rhywun arall, sef cofrestrydd neu’r person ei hun: { $n }.
staff-holds-age = Ers faint
staff-hold-needs_person = Rhaid i berson bwyso a mesur y dystiolaeth
staff-hold-registrar_differs = Dywedodd cofrestrydd rywbeth arall
staff-hold-title = Penderfynu ar newid
staff-hold-over = Mae hyn wedi’i benderfynu, neu mae’r person wedi tynnu’r newid yn ôl.
staff-hold-nothing-title = Nid oes dim i chi benderfynu arno yma
staff-hold-nothing-body = Penderfyniad rhywun arall ydyw, neu nid oes newid o’r fath.
staff-hold-told = Yr hyn a ddywedwyd
staff-hold-until = Fe’i dangosir i chi tan { $until }. Gall y person weld eich bod wedi edrych, a pham.
staff-hold-own = Eich newid chi yw hwn, neu newid rhywun yr ysgrifennir ato yn eich cyfeiriad chi. Rhaid i rywun arall benderfynu arno.
staff-hold-reveal-body = Fe’i dangosir i chi am bymtheg munud. Cofnodir hynny gyda’ch enw a’ch rheswm, a gall y person ei weld.
staff-hold-reveal = Dangos yr hyn a ddywedwyd
staff-hold-decide-body = O’i ryddhau, fe’i hanfonir ar unwaith oni bai bod rhywbeth arall yn ei ddal yn ôl. O’i wrthod, ni fydd neb byth yn cael gwybod amdano, a dywedir wrth y person iddo gael ei wrthod.
staff-hold-earlier = Mae newid cynharach o’r math hwn gan yr un person yn aros hefyd. Penderfynwch ar hwnnw yn gyntaf: yr hyn a anfonir olaf sy’n cyfrif.
staff-hold-earlier-link = Penderfynu ar y newid cynharach
staff-hold-release = Ei ryddhau
staff-hold-refuse = Ei wrthod
staff-reason-evidence = I bwyso a mesur y dystiolaeth
staff-reason-evidence_agrees = Rhyddhau: mae’r dystiolaeth yn cytuno â’r hyn a ddywedwyd
staff-reason-spoke_to_person = Rhyddhau: siaradais â’r person
staff-reason-evidence_missing = Gwrthod: ni anfonwyd tystiolaeth mewn pryd
staff-reason-evidence_differs = Gwrthod: mae’r dystiolaeth yn dweud rhywbeth arall
staff-reason-not_the_person = Gwrthod: nid y person a’i dywedodd
staff-did-change-disclosed = Edrych ar yr hyn a ddywedwyd
staff-did-hold-released = Rhyddhau newid a ddaliwyd yn ôl
staff-did-hold-refused = Gwrthod newid a ddaliwyd yn ôl

# A’r hyn y mae’r person yn ei weld o hynny.
looked-title = Pwy sydd wedi edrych ar yr hyn a ddywedoch wrthym
looked-evidence = Ar { $at } edrychodd aelod o’n staff arno, i bwyso a mesur y dystiolaeth.
looked-person-asked = Ar { $at } edrychodd aelod o’n staff arno, am i chi ofyn.
looked-audit = Ar { $at } edrychodd aelod o’n staff arno, i wirio ein gwaith ein hunain.

# Dolen mewn llythyr, na all ond dal yn ôl, a’r hyn y mae’r person yn ei ddweud am hynny.
mail-hold = Os nad chi oedd hwn, gallwch ei atal am y tro â’r ddolen hon. Ni all wneud dim arall.
mail-old-contact-subject = Dywedwyd am newid wrth Unwaith
mail-old-contact-body = Mae rhywun yr oeddem yn arfer ysgrifennu ato yma wedi dweud wrthym am newid drwy Unwaith. Os chi oedd hwnnw, nid oes angen i chi wneud dim.
hold-ask-title = Atal newid am y tro
hold-ask-body = Defnyddiwch hwn os cawsoch lythyr gennym ac na wnaethoch ddweud dim wrthym. Nid oes neb yn cael gwybod am y newid nes bod y person wedi mewngofnodi a dweud pa un sy’n gywir.
hold-ask-after = Er diogelwch pawb, nid yw’r dudalen hon yn dweud beth a ddywedwyd.
hold-ask-button = Ei atal am y tro
hold-done-title = Mae wedi’i atal am y tro
hold-done-body = Os chi yw’r person dan sylw, mewngofnodwch â’ch hunaniaeth brofedig, edrychwch ar eich newidiadau a’i ganslo, neu dywedwch mai chi oedd hwn.
hold-too-late-title = Nid oes dim ar ôl i’w atal
hold-too-late-body = Cafodd ei anfon eisoes, ei ganslo, neu dywedodd y person dan sylw mai nhw oedd hwn. Os chi yw’r person dan sylw, mewngofnodwch, edrychwch ar eich newidiadau a’i ganslo: yna gofynnir i bwy bynnag a gafodd wybod ei ddadwneud.
hold-unknown-title = Nid yw’r ddolen hon yn gweithio
hold-unknown-body = Copïwch y ddolen gyfan o’r llythyr. Os chi yw’r person dan sylw, gallwch hefyd fewngofnodi ac edrych ar eich newidiadau.
hold-release-link = Fi oedd hwn, neu beidio: dweud pa un
hold-release-title = Ai chi a ddywedodd wrthym am y newid hwn?
hold-release-body = Dywedodd rhywun sy’n darllen llythyrau a anfonwyd atoch nad chi oedd hwn. Os chi oedd hwn, fe’i hanfonir oni bai bod rhywbeth arall yn ei ddal yn ôl.
hold-release-button = Fi oedd hwn: ewch ymlaen
hold-release-cancel = Nid fi oedd hwn: canslo’r newid
hold-release-earlier = Mae newid cynharach gennych, o’r un math, wedi’i atal hefyd. Dywedwch yn gyntaf ai chi oedd hwnnw: yr hyn a anfonir olaf sy’n cyfrif.
hold-release-earlier-link = Mynd i’r newid cynharach
