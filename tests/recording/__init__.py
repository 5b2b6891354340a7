"""The recorded hour of samples/: the product's own parts and the emulator, in virtual time.

``python -m tests.recording FOLDER`` writes such files: nothing in them depends on the clock, the network or chance, but
for the seed. Another version of the connector may write another hour with the same happenings.
"""
