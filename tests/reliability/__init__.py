"""Kills, full disks, flipped bits, hostile files: `make reliability` tries all, `make test` some of each."""
