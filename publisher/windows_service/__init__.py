"""The service of Windows: its installation, its control, its process, and the access to its folders.

It has no part on other systems: there, systemd runs the publisher (compose/interface-publisher.service).
"""
