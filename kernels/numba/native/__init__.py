"""Steps of native programs: compiled functions with one signature, called through pointers."""
