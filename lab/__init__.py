"""The lab: how a network is trained, evaluated and compared."""
