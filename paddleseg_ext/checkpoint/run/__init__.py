"""The folder of a training: held, written, and looked at when a run goes on."""
