"""How the light of a source falls on pixels, with derivatives: what profiles are made of."""
