"""The command `corten-runtime`: runc's command line. One module per verb, imported when it is asked for."""
