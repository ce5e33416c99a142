"""Rows that know their neighbours in time: forward-backward and Viterbi over tiles."""
