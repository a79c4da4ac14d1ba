"""`rmi` and `image prune`, by Docker's rules (moby: daemon/images/image_delete.go): what may go, and what
is told."""

from __future__ import annotations

from corten.errors import Conflict, InvalidArgument, NotFound
from corten.image import naming
from corten.image.model import Filters, Image, Pruned, Removed, Users
from corten.image.registrar import Registrar
from corten.oci.reference import Reference


class Remover:
    """Removes images of one registrar."""

    def __init__(self, registrar: Registrar, users: Users) -> None:
        self._registrar = registrar
        self._tables = registrar.tables
        self._users = users

    def remove(self, name: str, *, force: bool, prune: bool) -> list[Removed]:
        """See ImageStore.remove. The rows go in one step; blobs and layers follow."""
        done: list[Removed] = []
        with self._registrar.lock:
            if self._remove_artifact(name, done):
                self._registrar.collect()
                return done
            image = self._registrar.image(naming.find(self._registrar, name))
            try:
                with self._registrar.row_lock, self._tables.transaction():
                    self._remove(image, name, force, prune, done)
            finally:
                self._registrar.write_index()
        return self._collect(done)

    def _remove_artifact(self, name: str, done: list[Removed]) -> bool:
        """A name whose blobs are stored, but which is no image (a chart, a signature)."""
        try:
            reference = Reference.parse(name)
        except InvalidArgument:
            return False
        repository = reference.repository
        tag = self._tables.tag(repository, reference.tag) if reference.tag else None
        digests = [row for row in self._tables.digests() if row.repository == repository and not row.image]
        if reference.digest is None:
            if tag is None or tag.image:
                return False
            self._tables.delete_tag(repository, tag.mark)
            digests = [row for row in digests if row.target == tag.target]
        elif reference.digest not in {row.mark for row in digests}:
            return False
        else:
            digests = [row for row in digests if row.mark == reference.digest]
        for row in digests:
            self._tables.delete_digest(repository, row.mark)
        self._registrar.write_index()
        done.append(Removed(untagged=reference.familiar))
        return True

    def prune(self, *, all: bool, filters: Filters) -> Pruned:
        """See ImageStore.prune."""
        naming.check_filters(filters, ("dangling", "label", "label!", "until"))
        wanted = {key: list(values) for key, values in filters.items()}
        for value in wanted.pop("dangling", ()):
            all = not naming.parse_bool("dangling", value)
        done: list[Removed] = []
        with self._registrar.lock:
            images = [self._registrar.image(row) for row in self._tables.images() if not row.hidden]
            for image in naming.select(self._registrar, images, wanted):
                if not all and not naming.is_dangling(image):
                    continue
                with self._registrar.row_lock:
                    if self._users.of_image(image.id) or (
                        naming.is_dangling(image) and self._tables.children(image.id)
                    ):
                        continue
                    self._prune_one(image, done)
            self._registrar.write_index()
        self._tables.give_up_all()
        freed, chain_ids = self._registrar.collect()
        done += [Removed(deleted=chain_id) for chain_id in chain_ids]
        return Pruned(tuple(done), freed)

    def evict(self, image_id: str) -> list[Removed]:
        """Removes an image with all its names, unless somebody uses it, or builds upon it, by now."""
        done: list[Removed] = []
        with self._registrar.lock:
            with self._registrar.row_lock:
                row = self._tables.image(image_id)
                if row is None or self._users.of_image(image_id) or self._tables.children(image_id):
                    return []
                self._prune_one(self._registrar.image(row), done)
            self._registrar.write_index()
        return self._collect(done)

    def _prune_one(self, image: Image, done: list[Removed]) -> None:
        with self._tables.transaction():
            for name in (*image.repo_tags, *image.repo_digests):
                self._untag(Reference.parse(name), done)
            self._delete(image.id, False, True, True, done)

    def _remove(self, image: Image, name: str, force: bool, prune: bool, done: list[Removed]) -> None:
        quiet = False
        names = (*image.repo_tags, *image.repo_digests)
        if not naming.is_by_id(image, name):
            reference = Reference.parse(name)
            if not force and _is_single(names):
                for user in self._users.of_image(image.id):
                    who = str(user) if user.mount else f"container {user.id[:12]}"
                    raise Conflict(
                        f"conflict: unable to remove repository reference {name!r} (must force) - {who} is "
                        f"using its referenced image {_short(image.id)}"
                    )
            self._untag(reference, done)
            left = self._registrar.image(naming.find(self._registrar, image.id))
            if reference.tag and not any(
                Reference.parse(tag).repository == reference.repository for tag in left.repo_tags
            ):
                for digest in left.repo_digests:
                    if Reference.parse(digest).repository == reference.repository:
                        self._untag(Reference.parse(digest), done)
            left = self._registrar.image(naming.find(self._registrar, image.id))
            if left.repo_tags or left.repo_digests:
                return
            quiet = True
        elif _is_single(names):
            self._check(image, force, references=False)
            for known in names:
                self._untag(Reference.parse(known), done)
        self._delete(image.id, force, prune, quiet, done)

    def _delete(self, image_id: str, force: bool, prune: bool, quiet: bool, done: list[Removed]) -> None:
        image = self._registrar.image(naming.find(self._registrar, image_id))
        try:
            self._check(image, force, references=True)
        except Conflict:
            used = bool(self._users.of_image(image.id))
            dangling = naming.is_dangling(image) and not self._tables.children(image.id)
            if quiet and (not dangling or used):
                return
            raise
        for name in (*image.repo_tags, *image.repo_digests):
            self._untag(Reference.parse(name), done)
        if self._users.of_image(image.id):
            self._tables.hide_image(image.id)  # its containers go on with it
        else:
            self._tables.delete_image(image.id)
        done.append(Removed(deleted=image.id))
        parent = self._tables.image(image.parent) if image.parent else None
        if (
            prune
            and parent is not None
            and not parent.hidden
            and naming.is_dangling(self._registrar.image(parent))
        ):
            self._delete(parent.id, False, True, True, done)

    def _check(self, image: Image, force: bool, *, references: bool) -> None:
        def conflict(hard: bool, why: str) -> Conflict:
            how = "cannot be forced" if hard else "must be forced"
            return Conflict(f"conflict: unable to delete {_short(image.id)} ({how}) - {why}")

        if self._tables.children(image.id):
            raise conflict(True, "image has dependent child images")
        users = self._users.of_image(image.id)
        for user in users:
            if user.running:
                raise conflict(True, f"image is being used by {user}")
        if force:
            return
        if references and (image.repo_tags or image.repo_digests):
            raise conflict(False, "image is referenced in multiple repositories")
        for user in users:
            raise conflict(False, f"image is being used by {user}")

    def _untag(self, reference: Reference, done: list[Removed]) -> None:
        if reference.digest is not None:
            if self._tables.digest(reference.repository, reference.digest) is None:
                raise NotFound(f"No such image: {reference.familiar}")
            self._tables.delete_digest(reference.repository, reference.digest)
        else:
            self._tables.delete_tag(reference.repository, reference.tag or "latest")
        done.append(Removed(untagged=reference.familiar))

    def _collect(self, done: list[Removed]) -> list[Removed]:
        if any(item.deleted for item in done):
            _, chain_ids = self._registrar.collect()
            done += [Removed(deleted=chain_id) for chain_id in reversed(chain_ids)]
        return done


def collect_hidden(registrar: Registrar, users: Users) -> None:
    """Forgets images that were removed by force, once their last container is gone."""
    for row in registrar.tables.images():
        if row.hidden and not users.of_image(row.id):
            registrar.tables.delete_image(row.id)


def _is_single(names: tuple[str, ...]) -> bool:
    """At most one tag, everything in one repository."""
    repositories = {Reference.parse(name, default_tag=False).repository for name in names}
    return len(repositories) == 1 and sum("@" not in name for name in names) <= 1


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
