"""Who the users are and what they may do: accounts, permissions, sign-in, Docker's token flow.

patterns.py        `team/*`: which repositories a permission is for
permissions.py     `pull,push:team/*`: what a permission says
book.py            everything that is decided with, as the database had it at one moment
current.py         the newest book; a worker looks every second whether there is another
passwords.py       argon2 (and bcrypt of imported files) in threads
attempts.py        wrong passwords cost time
sign_in.py         a user name and a secret to an account
scopes.py          `repository:team/app:pull,push`
access_tokens.py   JWTs: made, and believed or not
token_service.py   what /token answers
challenges.py      WWW-Authenticate
control.py         the `Access` that asks all of them
administration.py  `corten registry user` and `token`; htpasswd.py reads files for `user import`
records.py         what the tables hold (`metadata/accounts.py`); store.py reaches it from an event loop
"""
