"""`thalweg test`: runs the cases of a manifest on the real services, and judges what they did."""
