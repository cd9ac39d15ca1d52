changes-parking-permit = Newid trwydded barcio
change-title-parking-permit = Eich newid trwydded barcio
cancel-title-parking-permit = Canslo eich newid trwydded barcio
staff-change-parking-permit = Trwydded barcio
field-previous-vehicle = Cerbyd blaenorol
field-new-vehicle = Cerbyd newydd
detail-same-vehicle = mae previousVehicle a newVehicle yr un fath
