"""The source of Linux, over rtnetlink."""
