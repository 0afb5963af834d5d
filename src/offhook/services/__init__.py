"""Speech, language and voices behind the kit's interfaces."""
