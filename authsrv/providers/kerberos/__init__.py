"""What the providers of Kerberos share: keytabs, names, and what libkrb5 does not tell."""
