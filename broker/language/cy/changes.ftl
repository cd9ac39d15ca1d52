# Yr hyn a ddaeth o newid, a’r cadarnhad.
sent-title = Mae eich newid wedi’i anfon
sent-reference = Eich cyfeirnod
sent-next = Beth sy’n digwydd nesaf
sent-told = { $n ->
    [zero] Nid ydym yn rhoi gwybod i unrhyw sefydliad.
    [one] Rydym yn rhoi gwybod i 1 sefydliad. Gallwch wylio wrth iddo ddelio â’ch newid.
    [two] Rydym yn rhoi gwybod i 2 sefydliad. Gallwch wylio wrth i’r ddau ddelio â’ch newid.
    [few] Rydym yn rhoi gwybod i { $n } sefydliad. Gallwch wylio wrth i bob un ddelio â’ch newid.
    [many] Rydym yn rhoi gwybod i { $n } sefydliad. Gallwch wylio wrth i bob un ddelio â’ch newid.
   *[other] Rydym yn rhoi gwybod i { $n } sefydliad. Gallwch wylio wrth i bob un ddelio â’ch newid.
}
sent-written = Byddwn yn anfon cadarnhad atoch drwy e-bost.
sent-not-written = Cofnodwch eich cyfeirnod. Gwnaethoch ddewis peidio â chael cadarnhad, neu nid oes gennym gyfeiriad e-bost ar eich cyfer.
sent-follow = Dilyn eich newid

changes-title = Fy newidiadau
changes-none = Nid ydych wedi anfon unrhyw newidiadau.
changes-new = Dweud wrthym am newid
changes-reference = Cyfeirnod
changes-told = Anfonwyd
changes-progress = Pa mor bell y mae
changes-follow = Dilyn
changes-follow-named = newid { $reference }
changes-done = { $n ->
    [zero] Nid oes unrhyw sefydliad i orffen
    [one] Mae { $done } o 1 sefydliad wedi gorffen
    [two] Mae { $done } o 2 sefydliad wedi gorffen
    [few] Mae { $done } o { $n } sefydliad wedi gorffen
    [many] Mae { $done } o { $n } sefydliad wedi gorffen
   *[other] Mae { $done } o { $n } sefydliad wedi gorffen
}
changes-pages = Tudalennau
changes-newest = Diweddaraf
changes-older = Hŷn
timeline-title = Yr hyn y mae pob sefydliad wedi’i wneud
details-summary = { $name }: yr hyn a ddywedir, a pham
details-why = Pam
details-agreement = O dan ba gytundeb
details-agreement-version = { $title }, fersiwn { $version }
details-gone = Ni ellir ei ddarllen mwyach.
timeline-refresh = Dangos y diweddaraf
timeline-follow = Dangos y diweddaraf dro ar ôl tro, yn awtomatig
timeline-follows = Mae’r dudalen hon yn dangos y diweddaraf yn awtomatig bob { $seconds } eiliad.
timeline-follow-stop = Rhoi’r gorau i hynny
timeline-their-reference = Eu cyfeirnod nhw: { $reference }

# Cancelling.
cancel-link = Canslo’r newid hwn
cancel-not-told = Ni fydd sefydliadau nad ydynt wedi cael gwybod eto yn cael gwybod.
cancel-told = Gofynnir i sefydliadau sydd wedi cael gwybod ei ddadwneud.
cancel-warning = Ni allwch dynnu hyn yn ôl. Os byddwch yn newid eich meddwl, bydd angen i chi ddweud wrthym eto.
cancel-warning-prefix = Rhybudd
cancel-button = Canslo’r newid
withdrawn-cancelled = Gwnaethoch ganslo’r newid hwn ar { $at }.
withdrawn-replaced = Gwnaethoch ddisodli’r newid hwn â { $reference } ar { $at }.
taken-back-title = Gofynnwyd iddynt ei ddadwneud

status-waiting = Yn aros am ei ddiwrnod
status-queued = Yn aros i gael ei anfon
status-published = Ar ei ffordd
status-stopping = Yn cael ei atal
status-cancelled = Wedi’i ganslo
status-superseded = Wedi’i ddisodli
status-undelivered = Heb ei ddanfon
status-received = Wedi’i dderbyn
status-needs-review = Yn cael ei ystyried
status-rejected = Wedi’i wrthod
status-not-matched = Methu dod o hyd i chi
status-already-current = Eisoes yn gyfredol
status-applied = Wedi’i ddiweddaru

happened-waiting = Gwnaethoch anfon eich newid. Caiff ei gadw tan ei ddiwrnod.
happened-queued = Gwnaethoch anfon eich newid.
happened-published = Cafodd ei anfon.
happened-cancelled = Cafodd ei ganslo.
happened-revoked = Ni chafodd ei anfon: mae’r cytundeb â’r sefydliad hwn wedi dod i ben.
happened-superseded = Cafodd ei ddisodli gan newid diweddarach.
happened-undelivered = Nid oedd modd ei ddanfon. Mae’r bobl sy’n rhedeg y gwasanaeth hwn wedi cael gwybod.
happened-received = Derbyniodd y sefydliad ef.
happened-needs-review = Mae person yn y sefydliad yn edrych arno.
happened-rejected = Gwrthododd y sefydliad ef.
happened-not-matched = Ni allai’r sefydliad ddod o hyd i chi yn ei gofnodion.
happened-already-current = Roedd cofnodion y sefydliad eisoes yn dangos hyn.
happened-applied = Diweddarodd y sefydliad ei gofnodion.
happened-placed = Mae’n barod i’r sefydliad ei gasglu.
happened-deferred = Nid oedd modd cyrraedd y sefydliad. Byddwn yn rhoi cynnig arall arni.
happened-deferred-until = Nid oedd modd cyrraedd y sefydliad. Byddwn yn rhoi cynnig arall arni ar ôl { $at }.
happened-withheld = Cafodd ei ddal yn ôl.
happened-conflict = Anfonodd y sefydliad ateb gwahanol. Mae person yn edrych arno.

advice-waiting = Caiff ei anfon ar ôl { $at }.
advice-not-matched = Cysylltwch â’r sefydliad a rhowch eich cyfeirnod iddo. Efallai ei fod yn eich adnabod wrth enw neu gyfeiriad arall.
advice-rejected = Cysylltwch â’r sefydliad a rhowch eich cyfeirnod iddo.
advice-needs-review = Nid oes angen i chi wneud dim.
advice-undelivered = Nid oes angen i chi wneud dim eto. Os na fydd dim yn newid ymhen ychydig ddyddiau, cysylltwch â’r sefydliad.
advice-received = Nid yw eto wedi dweud bod ei gofnodion wedi’u diweddaru.

mail-hello = Helo
mail-confirmation-subject = Rydym wedi derbyn yr hyn a ddywedoch wrthym
mail-confirmation-body = Gwnaethoch ddweud wrthym am newid drwy Unwaith, ac rydym wedi’i dderbyn.
mail-confirmation-reference = Eich cyfeirnod yw { $reference }.
mail-confirmation-follow = I weld yr hyn y mae pob sefydliad wedi’i wneud, mewngofnodwch a dewis Fy newidiadau. Er eich diogelwch, nid yw’r neges hon yn dweud beth a newidiodd.
mail-confirmation-not-you = Os nad chi oedd hwn, mewngofnodwch ac edrych ar Fy newidiadau ar unwaith.
mail-goodbye = Unwaith

# Who is not told.
untold-before-title = Pwy na allwn roi gwybod iddynt
untold-before-lead = Ni chaiff dim ei anfon at y rhain. Mae’r hyn y gallwch ei wneud yn lle hynny wrth ymyl pob un.
untold-after-title = Mae angen i chi roi gwybod i’r rhain o hyd
untold-after-lead = Ni chafodd y rhain wybod am eich newid oddi yma.
untold-not-connected = Nid yw’n cymryd rhan yn y gwasanaeth hwn eto.
untold-no-agreement = Mae’n cymryd rhan yn y gwasanaeth hwn, ond nid oes ganddo gytundeb i gael gwybod am y math hwn o newid.
untold-not-agreed-for-this = Nid yw ei gytundeb yn cynnwys y newid hwn.
untold-left-out = Ni chafodd wybod y tro hwn: roeddech wedi ei hepgor, roedd yn gwybod hyn yn barod, neu mae wedi dechrau cymryd rhan ers hynny.
untold-outside-wales = Dim ond sefydliadau sy’n gwasanaethu Cymru y mae’r gwasanaeth hwn yn eu cyrraedd.
untold-area-unknown = Ni allem ganfod o’r cyfeiriad pa rai ydynt.
untold-no-fixed-abode = Heb gyfeiriad sefydlog ni allwn ganfod pa gyngor sy’n perthyn i chi.
untold-only-yourself = Dim ond gennych chi y mae’n derbyn hyn.
untold-in-english = (yn Saesneg)
