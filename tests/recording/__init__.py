"""The recorded hour of samples/: the product's own parts and the emulator, in virtual time.

``python -m tests.recording`` writes the files anew, byte for byte (given the same zlib): nothing in it depends on the
clock, the network or chance, but for the seed.
"""
