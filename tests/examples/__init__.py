"""Tests of docs/examples and of the flow for Node-RED."""
