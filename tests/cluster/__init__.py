"""Failures that a store on Valkey or Redis servers withstands: nodes that die or pause, lost replies, no rights."""
