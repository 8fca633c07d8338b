"""Tests of the simulated portal, against a real receiver on this machine."""
