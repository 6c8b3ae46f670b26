"""Tests on a kernel that has every kind of link, in a virtual machine: `make test-vm`."""
