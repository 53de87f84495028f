"""What every driver must hold to, tried on the device itself: `cellwright device conform`."""
