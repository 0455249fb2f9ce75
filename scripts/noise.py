"""Bytes of a linear congruential generator, as tests/data/noise.ts makes them."""


def noise_bytes(count, seed):
    state, out = seed, bytearray(count)
    for i in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out[i] = state >> 24
    return bytes(out)
