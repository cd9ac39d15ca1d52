changes-parking-permit = Change of a parking permit
change-title-parking-permit = Your change of a parking permit
cancel-title-parking-permit = Cancel your change of a parking permit
staff-change-parking-permit = Parking permit
field-previous-vehicle = Previous vehicle
field-new-vehicle = New vehicle
detail-same-vehicle = previousVehicle and newVehicle are the same
