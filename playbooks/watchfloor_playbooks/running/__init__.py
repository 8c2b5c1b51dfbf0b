"""Running a playbook, as data: values with labels, work to be done, and the machine that says what comes next."""
