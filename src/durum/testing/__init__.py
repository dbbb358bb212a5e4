"""For people who test what they build on Durum: store conformance suite, manual clock, scripted transports."""
