"""power - what a disk may hold after a power cut, from the notes of tests/shim/power.c.

    notes = Notes(place, store)                 - copies the store as it is now; run the server with env=notes.env
    notes.read()                                - when it is dead
    notes.disk(folder, chance)                  - the files: what was synced is there; of the rest each sector (512 octets) is there or not

A sync orders nothing but its own file, and a write that no sync followed may be there in part: harder than most disks are."""
import os
import shutil
import struct

from disk import shim

NOTE, SECTOR = struct.Struct("<IIQQ"), 512
WRITE, CUT, SYNC = 1, 2, 3
ENDS = {1: "", 2: "-wal", 3: "-journal"}


class Notes:
    def __init__(self, place, store):
        self.path, self.store, self.base = place.path("power.notes"), store, place.path("before")
        os.makedirs(self.base)
        for end in ENDS.values():
            if os.path.exists(store + end):
                shutil.copy(store + end, os.path.join(self.base, "store" + end))
        self.env = {"LD_PRELOAD": shim("power"), "TODOKE_POWER_STORE": store, "TODOKE_POWER_LOG": self.path}
        self.notes, self.synced = [], {}

    def read(self):
        """Every note: (where it ends, kind, file, at, bytes). The last may have been cut off with the program."""
        with open(self.path, "rb") as file:
            while len(head := file.read(NOTE.size)) == NOTE.size:
                kind, which, at, length = NOTE.unpack(head)
                data = file.read(length)
                if len(data) < length:
                    break
                if kind == SYNC:
                    self.synced[which] = max(self.synced.get(which, 0), at)
                else:
                    self.notes.append((file.tell(), kind, which, at, data))

    def unsynced(self):
        return sum(end > self.synced.get(which, 0) for end, _, which, _, _ in self.notes)

    def written(self, which):
        return sum(kind == WRITE and file == which for _, kind, file, _, _ in self.notes)

    def disk(self, folder, chance, share):
        """Of what is not synced, each sector is there with this probability. The store's path in this folder."""
        shutil.copytree(self.base, folder)
        store = os.path.join(folder, "store")
        files = {which: open(store + end, "r+b" if os.path.exists(store + end) else "w+b") for which, end in ENDS.items()
                 if os.path.exists(store + end) or any(note[2] == which for note in self.notes)}
        for end, kind, which, at, data in self.notes:
            is_there = end <= self.synced.get(which, 0)
            if kind == CUT:
                if is_there or chance.random() < share:
                    files[which].truncate(at)
            elif is_there:
                os.pwrite(files[which].fileno(), data, at)
            else:
                for piece in range(0, len(data), SECTOR):
                    if chance.random() < share:
                        os.pwrite(files[which].fileno(), data[piece:piece + SECTOR], at + piece)
        for file in files.values():
            file.close()
        return store
