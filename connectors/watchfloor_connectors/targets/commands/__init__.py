"""Runners of a playbook's commands: shells in a sandbox, a shell by SSH, HTTP and OpenC2 requests."""
