# make help tells what there is.

# The places of the last build stay until make clean: make install after it is no other build. Named by its whole path,
# the file is none that make would make first.
-include $(CURDIR)/dist/places.mk

# Where the hook may go. They are baked into the program as its permissions.
IMAGE_DIRS ?= /var/lib/libvirt/images
# UEFI variables and TPM state; none, where firmware is to stay as it is.
FIRMWARE_DIRS ?= /var/lib/libvirt/qemu/nvram,/var/lib/libvirt/swtpm
CONFIG_DIR ?= /etc/libvirt/hooks/config
SAVE_DIR ?= /var/lib/libvirt/qemu/save
DOMAIN_DIR ?= /etc/libvirt/qemu
LIVE_DIR ?= /run/libvirt/qemu
DAEMONS ?= /run/libvirtd.pid,/run/virtqemud.pid
LOG ?= /var/log/libvirt/qemu/hooks.log
QEMU_IMG ?= /usr/bin/qemu-img
override CONFIG_DIR := $(patsubst %/,%,$(CONFIG_DIR))
# Of Debian's builders, and another thing.
unexport DIST
export IMAGE_DIRS FIRMWARE_DIRS CONFIG_DIR SAVE_DIR DOMAIN_DIR LIVE_DIR DAEMONS LOG QEMU_IMG PROGRAMS GATED

# Where it is installed, and in which form: binary, or script for a host that has Deno.
DESTDIR ?=
HOOK_DIR ?= /etc/libvirt/hooks
override HOOK_DIR := $(patsubst %/,%,$(HOOK_DIR))
PREFIX ?= /usr/local
PROGRAMS = $(HOOK_DIR)/qemu,$(HOOK_DIR)/qemu.d/autorevert
GATED = $(HOOK_DIR)/autorevert
FORM ?= binary
export DESTDIR HOOK_DIR PREFIX

program_binary = dist/qemu
program_script = dist/qemu.js
sources = main.ts deno.json deno.lock config.schema.json $(wildcard build/*.ts) $(wildcard lib/*.ts lib/*/*.ts) $(wildcard npm/*)

.DEFAULT_GOAL = help
.PHONY: help
help: ## what there is
	@echo "autorevert: virtual machine disks that come back clean at every boot"
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile | expand -t 22
	@echo
	@echo "Places, as variables: IMAGE_DIRS=$(IMAGE_DIRS) (several with commas)"
	@echo "  FIRMWARE_DIRS=$(FIRMWARE_DIRS)"
	@echo "  CONFIG_DIR=$(CONFIG_DIR) LOG=$(LOG)"
	@echo "  SAVE_DIR=$(SAVE_DIR) QEMU_IMG=$(QEMU_IMG)"
	@echo "  DOMAIN_DIR=$(DOMAIN_DIR) LIVE_DIR=$(LIVE_DIR) DAEMONS=$(DAEMONS)"

.PHONY: demo
demo: ## a real guest that comes back clean, in a temporary folder; UEFI=1 one with UEFI variables, too
	@build/need qemu-img:qemu-utils qemu-system-x86_64:qemu-system-x86
	@[ "$(UEFI)" != 1 ] || build/need /usr/share/OVMF/OVMF_CODE_4M.fd:ovmf
	@build/deno run --quiet --no-check -A demo/demo.ts

TESTS ?= tests/*_test.ts
.PHONY: test
test: ## types, style, and the tests that need neither root nor libvirt; TESTS=FILES some of them
	@build/need qemu-img:qemu-utils mandoc:mandoc busybox:busybox zsh:zsh fish:fish
	build/deno check --quiet main.ts build/*.ts demo/*.ts bench/*.ts tests/*.ts tests/e2e/*.ts tests/e2e/*/*.ts tests/packages/*.ts proof/*.ts
	build/deno fmt --quiet --check
	build/deno lint --quiet
	build/deno test -A --no-check --parallel $(TESTS)

.PHONY: e2e
e2e: build ## the compiled hook under real libvirtd, 9.0 and 11.3; as root; CASES=FILE the tests of one; SHORT=1 a sample
	@build/need qemu-img:qemu-utils qemu-system-x86_64:qemu-system-x86 libvirtd:libvirt-daemon-system \
	  virsh:libvirt-clients mkfs.ext4:e2fsprogs xfs_io:xfsprogs
	tests/e2e/run $(CASES)

.PHONY: bench
bench: ## measure it, and write docs/performance.md; as root
	@build/need hyperfine:hyperfine time:time chrt:util-linux qemu-img:qemu-utils qemu-io:qemu-utils \
	  qemu-system-x86_64:qemu-system-x86 libvirtd:libvirt-daemon-system virsh:libvirt-clients npm:npm python3:python3
	@build/deno run --quiet --no-check -A bench/bench.ts $(PART)

# What docs/reliability.md tells of. SHORT=1 tries a sample, EVERY=5 every fifth call, ONLY=merge what has the word; PART=kill one part.
proof_parts = kill power_cut stores $(if $(SHORT),,uml) faults qemu_img interleave fuzz crowd permissions mutate
export SHORT EVERY FROM ONLY
.PHONY: proof
proof: build ## nothing is lost, whatever dies or fails at whatever moment: three hours, or SHORT=1 five minutes; as root
	@build/need qemu-img:qemu-utils qemu-io:qemu-utils gcc:gcc\ libc6-dev python3:python3 \
	  qemu-system-x86_64:qemu-system-x86 libvirtd:libvirt-daemon-system virsh:libvirt-clients \
	  mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs
	@failed=0; for part in $(or $(PART),$(proof_parts)); do \
	  build/deno run --quiet --no-check -A proof/$$part.ts || failed=1; \
	done; exit $$failed

# A build for other places is another build.
places = IMAGE_DIRS FIRMWARE_DIRS CONFIG_DIR SAVE_DIR DOMAIN_DIR LIVE_DIR DAEMONS LOG QEMU_IMG HOOK_DIR
settings = $(foreach place,$(places),'$(place) ?= $($(place))')
dist/places.mk: FORCE
	@mkdir -p dist
	@printf '%s\n' $(settings) | cmp -s - $@ || printf '%s\n' $(settings) > $@
.PHONY: FORCE
FORCE:

.PHONY: build
build: $(program_binary) ## dist/qemu, the hook as one binary
$(program_binary): $(sources) dist/places.mk
	build/deno run --quiet --no-check -A build/build.ts

.PHONY: bundle
bundle: $(program_script) ## dist/qemu.js, the same as a script, for hosts that have Deno
$(program_script): $(sources) dist/places.mk
	build/deno run --quiet --no-check -A build/build.ts --script

.PHONY: install
install: $(or $(program_$(FORM)),$(error FORM is $(FORM), should be binary or script)) ## put the hook into place
	@build/install $< dist/gate

.PHONY: uninstall
uninstall: ## take the hook away, unless a session needs it
	@build/uninstall

# A package is this build at other places: the program in /usr/sbin, where AppArmor lets libvirtd's hooks execute it.
version := $(shell sed -n 's/.*"version": "\(.*\)".*/\1/p' deno.json)
# Deno is made for these two.
MACHINE := $(shell uname -m)
DEB_ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(MACHINE)))
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
export SOURCE_DATE_EPOCH MACHINE DEB_ARCH

packaged = $(program_binary) $(wildcard packaging/* packaging/*/* man/* *.json *.md)
deb = dist/autorevert_$(version)-1_$(DEB_ARCH).deb
rpm = dist/autorevert-$(version)-1.$(MACHINE).rpm

.PHONY: deb
deb: $(deb) ## dist/autorevert_VERSION-1_ARCHITECTURE.deb, a package for Debian and Ubuntu
$(deb): $(packaged)
	@build/need dpkg-deb:dpkg
	@packaging/make-deb $(version)

.PHONY: rpm
rpm: $(rpm) ## dist/autorevert-VERSION-1.ARCHITECTURE.rpm, a package for Fedora, RHEL and their kin
$(rpm): $(packaged)
	@build/need rpmbuild:rpm
	@packaging/make-rpm $(version)

.PHONY: release
release: $(deb) $(rpm) ## dist/release: both packages, the binary, their sums and the notes
	@packaging/release $(version)

.PHONY: packages-test
packages-test: $(deb) $(rpm) ## the packages in fresh Debian 12 and 13, while guests run; as root; CASES=FILE the tests of one
	@tests/packages/run $(CASES)

.PHONY: schema
schema: ## config.schema.json, after a change of lib/input/config_schema.ts
	build/deno run --quiet -A build/schema.ts > config.schema.json

.PHONY: architecture
architecture: ## the tables of docs/architecture.md, after a change of lib/state/decision_table.ts
	build/deno run --quiet -A build/architecture.ts

.PHONY: clean
clean: ## remove what was built
	rm -rf dist .deno
