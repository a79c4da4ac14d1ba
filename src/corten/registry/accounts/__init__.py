"""Who the users are and what they may do: accounts, permissions, sign-in, Docker's token flow.

Each module needs only those above it, and records.py:

    patterns.py        `team/*`: which repositories a permission is for
    permissions.py     `pull,push:team/*`: what a permission says
    book.py            everything that is decided with, as the database had it at one moment
    preparing.py       loads libraries once there are accounts
    current.py         the newest book; a worker looks every second whether there is another
    passwords.py       argon2 (and bcrypt of imported files) in threads
    attempts.py        wrong passwords cost time
    sign_in.py         a user name and a secret to an account
    scopes.py          `repository:team/app:pull,push`
    signing.py         keys for tokens
    access_tokens.py   JWTs: made, and believed or not
    token_service.py   what /token answers
    challenges.py      WWW-Authenticate
    control.py         the `Access` that asks all of them
    opening.py         puts a worker's parts together
    administration.py  `corten registry user`, with htpasswd.py for `user import`
    token_administration.py  `corten registry token`
    records.py         what the tables hold (`metadata/accounts.py`); store.py reaches it from an event loop
"""
