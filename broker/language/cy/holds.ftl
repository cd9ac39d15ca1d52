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
