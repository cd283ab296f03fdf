"""Pictures of mosaics for people: small ones, and what their brightness means."""
