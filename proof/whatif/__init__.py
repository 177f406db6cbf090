"""`hae whatif`: a real cluster, as its members told, lived on in the model world."""
