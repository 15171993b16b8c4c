"""Many runs, unattended."""
