# gilshim: GNU Make. `make help` lists the targets.

ifneq (Linux,$(shell uname -s))
$(error gilshim is for Linux with glibc: it rests on what that loader does with LD_PRELOAD. This is $(shell uname -s))
endif

.DELETE_ON_ERROR:
MAKEFLAGS += -rR --no-print-directory

comma   := ,
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
LIBEXECDIR ?= $(PREFIX)/libexec
BINDIR  ?= $(PREFIX)/bin
DATADIR ?= $(PREFIX)/share
DOCDIR  ?= $(DATADIR)/doc/gilshim
MANDIR  ?= $(DATADIR)/man
COMPDIR ?= $(DATADIR)/bash-completion/completions
ZSHDIR  ?= $(DATADIR)/zsh/site-functions
FISHDIR ?= $(DATADIR)/fish/vendor_completions.d
INSTALL ?= install
ifneq (,$(filter default undefined,$(origin CC)))
CC      := gcc
endif
CFLAGS  ?= -O2 -g
WHEEL_CFLAGS ?= -O2
PYTHON3 ?= python3
BUILD   := build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
version := $(shell sed -n 's/^\#define GILSHIM_VERSION "\(.*\)"$$/\1/p' shim/version.h)
# The commit, 12 digits of it, and its time in seconds; empty if they are not known. A tarball of `make dist` states them;
# a checkout is asked, but not a repository that this folder only happens to be in.
commit := $(shell sed -n 's/^\#define GILSHIM_COMMIT "\([0-9a-f]\{12\}\).*"$$/\1/p' shim/version.h)
commit_time := $(shell sed -n 's/^\#define GILSHIM_COMMIT_TIME "\([0-9]*\)"$$/\1/p' shim/version.h)
ifeq ($(commit),)
commit := $(shell { if [ "$$(git rev-parse --is-inside-work-tree --show-cdup)" = true ]; then git rev-parse --short=12 HEAD; \
	git --no-optional-locks status --porcelain --untracked-files=no | sed -n '1s/.*/-changed/p'; fi | tr -d '\n'; } 2>/dev/null)
commit_time := $(if $(commit),$(shell git log -1 --format=%ct))
endif

ifndef V
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)';
endif

# Our flags are separate from the user's CFLAGS, CPPFLAGS and LDFLAGS, which come last and override them.
warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wpointer-arith
shim_cppflags := -D_GNU_SOURCE -iquote shim -include shim/platform.h
shim_cflags = -std=gnu11 -fPIC -fvisibility=hidden -ftls-model=initial-exec -fexceptions \
	$(warnings) $(if $(WERROR),-Werror) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer)
shim_ldflags := -shared -Wl,-soname,libgilshim.so -Wl,-Bsymbolic-functions -Wl,-z,now -Wl,-z,relro -Wl,-z,defs -Wl,-z,nodelete
# A sanitizer's runtime is preloaded (clang's comes from another place), so a library built with one has undefined symbols.
ifneq ($(SANITIZE),)
shim_ldflags := $(filter-out -Wl$(comma)-z$(comma)defs,$(shim_ldflags))
endif

# With OLD_GLIBC=1 the library runs with glibc 2.28, whatever the version here.
ifneq ($(OLD_GLIBC),)
shim_cflags += -include shim/old_glibc.h
old_libraries = -Wl,--no-as-needed $(shell $(CC) -print-file-name=libdl.so.2) $(shell $(CC) -print-file-name=libpthread.so.0) -Wl,--as-needed
old_start := -Wl,--wrap=__libc_start_main
endif

# The link order: code that every process runs at start-up, code that may run at any time, and the rest. The kernel maps the
# 64 KiB around a touched page (fault-around), so the order keeps the rest, half of the library, out of the memory of a process
# that does not use it. The libraries also come right after the first group: libc has one function, pthread_atfork, that is
# linked in where it is first needed, and it runs at start-up.
starting := $(addprefix shim/, \
	start/start.c cpython/real.c system/loader.c start/fork.c process/locks.c system/elf.c system/elf_loaded.c system/redirect.c \
	system/redirected.c system/thunks.c \
	process/options.c process/options_read.c process/streams.c system/path.c process/log.c system/aside.c system/aside.S system/dlsym_hook.c \
	system/dlsym_hook.S start/fatal_signals.c cpython/interp.c process/process_exit.c system/tls.c system/ticks.c \
	diagnose/leftover_states.c diagnose/fatal.c states/fork_states.c process/background.c journal/journal.c \
	diagnose/timeline.c diagnose/stall.c diagnose/summary.c states/dead_states.c)
running := $(addprefix shim/, \
	states/taken.c rules/life.c rules/keys.c states/owner.c cpython/slot.c states/registry.c cpython/current.c \
	cpython/counter.c hooks/hooks.c hooks/lifecycle.c hooks/two_states.c states/owner_states.c diagnose/current_thread.c \
	rules/nesting.c states/blocks.c rules/attach.c rules/gilstate.c rules/settle.c hooks/gear.c hooks/judged.c hooks/judged_life.c \
	hooks/record.c hooks/tell.c rules/pep788.c rules/orphan.c rules/oldlock.c cpython/bound.c diagnose/call_sites.c system/signal_stack.c)
sources := $(starting) $(running) $(filter-out $(starting) $(running) shim/inspect/%,$(wildcard shim/*/*.c shim/*/*.S))
objects := $(patsubst %,$(BUILD)/%.o,$(sources))
first_objects := $(patsubst %,$(BUILD)/%.o,$(starting))
libraries = $(old_libraries) -ldl -lpthread -lc
library := $(BUILD)/libgilshim.so

# gilshim-inspect, which looks at another process: its own files, and these of the library's, which know nothing about whose
# memory it is. What they need from others is defined in shim/inspect/ (shim/README.md has the table).
inspect_shared := $(addprefix shim/, \
	system/elf.c system/cfi.c system/cfi_entry.c system/cfi_row.c system/symbol.c system/symbol_json.c system/symtab.c \
	system/text.c system/json.c system/nearest.c system/ticks.c system/thread.c system/thread_wait.c system/call_site.c \
	cpython/layout.c journal/journal_read.c diagnose/wait_graph.c diagnose/culprit.c diagnose/stacks.c \
	diagnose/stall_report.c diagnose/stall_headline.c diagnose/stall_words.c diagnose/stall_across.c diagnose/stall_json.c \
	diagnose/crash_class.c diagnose/crash_stack.c diagnose/crash_text.c diagnose/report_names.c process/log_form.c)
inspect_objects := $(patsubst %,$(BUILD)/%.o,$(wildcard shim/inspect/*.c) $(inspect_shared))
inspect := $(BUILD)/gilshim-inspect

# The page that --plot puts timelines into: one file, so that it can be moved and sent.
plot := $(BUILD)/plot.html
plot_scripts := $(patsubst %,shim/plot/%.js,read lanes draw overview details view)

.PHONY: all demo check lint format bench install uninstall clean dist wheel deb rpm help
all: $(library) $(inspect) $(plot)	## build the library, gilshim-inspect and the page of --plot (default)

$(library): $(objects) Makefile
	$(call say,LINK,$@)
	$(Q)$(CC) $(shim_ldflags) $(shim_cflags) $(CFLAGS) $(LDFLAGS) -o $@.new \
		$(first_objects) $(libraries) $(filter-out $(first_objects),$(objects)) $(libraries)
	$(Q)mv $@.new $@ # atomically: programs may be running with it, or be starting

$(inspect): $(inspect_objects) Makefile
	$(call say,LINK,$@)
	$(Q)$(CC) -pie -Wl,-z,now -Wl,-z,relro $(shim_cflags) $(CFLAGS) $(LDFLAGS) $(old_start) -o $@.new $(inspect_objects) $(old_libraries)
	$(Q)mv $@.new $@

$(BUILD)/%.c.o: %.c $(BUILD)/.flags
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(shim_cppflags) $(shim_cflags) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -c -o $@ $<

$(BUILD)/%.S.o: %.S $(BUILD)/.flags
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(shim_cppflags) $(CPPFLAGS) -MMD -MP -MF $@.d -c -o $@ $<

# The one file that states the commit. It is compiled again when that changes.
$(BUILD)/shim/start/check.c.o: shim_cppflags += -DGILSHIM_BUILT_FROM='"$(if $(commit),commit $(commit); )"'
$(BUILD)/shim/start/check.c.o: $(BUILD)/.commit
$(BUILD)/.commit: always
	$(Q)mkdir -p $(@D)
	$(Q)echo '$(commit)' | cmp -s - $@ || echo '$(commit)' >$@

$(plot): shim/plot/page.html shim/plot/style.css $(plot_scripts) shim/version.h Makefile
	$(call say,PAGE,$@)
	$(Q)mkdir -p $(@D)
	$(Q)cat $(plot_scripts) >$@.js
	$(Q)sed -e 's/@VERSION@/$(version)/' -e '/^@style@$$/{r shim/plot/style.css' -e 'd;}' -e '/^@script@$$/{r $@.js' -e 'd;}' \
		shim/plot/page.html >$@.new
	$(Q)mv $@.new $@

# Code that runs in every call may use only this much of a host's stack. Reports use another stack (shim/system/aside.h).
ifeq ($(SANITIZE),)
$(patsubst %,$(BUILD)/%.o,$(filter %.c,$(running))): warnings += -Wframe-larger-than=512
endif

-include $(objects:=.d) $(inspect_objects:=.d)

# This file changes when the compiler or its flags do, so that `make CC=clang` after `make` rebuilds everything.
flags := $(CC) $(shim_cppflags) $(shim_cflags) $(shim_ldflags) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)
.PHONY: always
$(BUILD)/.flags: always
	$(Q)mkdir -p $(@D)
	$(Q)printf '%s\n' '$(flags)' | cmp -s - $@ || printf '%s\n' '$(flags)' >$@

# ---- showing and testing

demo: $(library)	## a deadlock without the shim, then the same program with it (DEMO_PYTHON=program)
	+$(Q)DEMO_PYTHON='$(DEMO_PYTHON)' CC='$(CC)' tests/demo/run

check: $(library)	## every test on every interpreter of this machine (CHECK='-p 3.8', see tests/run -h)
	+$(Q)MAKE='$(MAKE)' tests/run $(CHECK)

# The targets of the folders of tests/: unit, fuzz, bench and others.
-include tests/unit/rules.mk
-include tests/inspect/rules.mk
-include tests/fuzz/rules.mk
-include tests/bench/rules.mk
-include tests/nesting/rules.mk
-include tests/faults/rules.mk
-include tests/stacks/rules.mk
-include tests/noharm/rules.mk
-include tests/pybind11/rules.mk
-include tests/matrix/rules.mk

# ---- lint

c_files := $(wildcard shim/*.h shim/*/*.[ch] tests/*/*.[ch] tests/*/*/*.[ch])
cxx_files := $(wildcard tests/*/*.cpp tests/*/*.hpp tests/*/*/*.cpp tests/*/*/*.hpp)
shell_files := $(wildcard *.sh .ci/run tests/*.sh tests/run tests/demo/run tests/demo/build tests/noharm/run tests/matrix/run tests/matrix/fresh tests/fuzz/run tests/fixtures/readme/extract tests/*.bash tests/*/*.sh tests/stacks/*/*.bash shim/dist/*.bash shim/dist/python/*.sh)
bats_files := $(wildcard tests/*.bats tests/*/*.bats)
shim_c := $(filter shim/%.c,$(c_files))
processors := $(shell nproc 2>/dev/null || echo 1)
lint_targets := lint-floors lint-format lint-shell lint-man lint-gcc lint-clang lint-cppcheck lint-tidy
.PHONY: $(lint_targets)
lint: $(lint_targets)	## floors, clang-format, shellcheck, mandoc, cppcheck, clang-tidy, gcc's and clang's warnings
# The folders of shim/, from the lowest floor up.
floors := system process cpython states+journal rules+diagnose hooks start+inspect
lint-floors: $(library) $(inspect)
	$(call say,FLOORS,$(words $(wildcard shim/*/*.[ch])) files)
	$(Q)tests/floors $(BUILD) $(floors) -- $(inspect_shared)
	$(Q)for header in $(wildcard shim/*/*.h); do \
		$(CC) -std=gnu11 -fsyntax-only -Werror $(shim_cppflags) $(warnings) -include "$$header" -x c /dev/null || exit; \
	done # each is complete by itself
lint-format:
	$(call say,FORMAT,$(words $(c_files) $(cxx_files)) files)
	$(Q)clang-format --dry-run -Werror $(c_files) $(cxx_files)
format:			## lays the C and C++ sources out as lint wants them
	$(Q)clang-format -i $(c_files) $(cxx_files)
lint-shell:
	$(call say,SHELL,$(words $(shell_files) $(bats_files)) files)
	$(Q)shellcheck -x $(shell_files)
	$(Q)shellcheck -x -e SC1010,SC2016,SC2034 $(bats_files) # strings that other shells expand, and variables for the helpers
lint-man:
	$(call say,MAN,shim/dist/gilshim.1)
	$(Q)mandoc -Tlint -W warning shim/dist/gilshim.1
lint-gcc lint-clang: lint-%:
	$(call say,$(*F),$(words $(shim_c)) files)
	$(Q)$(*F) -fsyntax-only -O2 -Werror $(shim_cppflags) $(filter-out -Werror -fsanitize%,$(shim_cflags)) $(shim_c)
lint-cppcheck:
	$(call say,CPPCHK,$(words $(shim_c)) files)
	$(Q)cppcheck --quiet -j $(processors) --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem --suppress=ctuuninitvar -D__x86_64__ '-DElfW(type)=Elf64_##type' $(filter -D% -iquote shim,$(shim_cppflags)) $(shim_c)
lint-tidy:
	$(call say,TIDY,$(words $(shim_c)) files)
	$(Q)printf '%s\n' $(shim_c) | xargs -P $(processors) -n 4 sh -c \
		'clang-tidy --quiet --warnings-as-errors="*" "$$@" -- $(shim_cppflags) -std=gnu11 2>/dev/null' tidy

# For editors and clang-based tools.
.PHONY: compile_commands.json
compile_commands.json:	## how each file of the library is compiled
	$(Q){ separator='['; for file in $(filter %.c,$(sources)) $(wildcard shim/inspect/*.c); do \
		printf '%s\n{"directory": "%s", "file": "%s", "command": "%s -c %s"}' "$$separator" '$(CURDIR)' "$$file" \
			'$(CC) $(shim_cppflags) $(subst ",\",$(shim_cflags)) $(CPPFLAGS) $(CFLAGS)' "$$file"; separator=','; \
	done; printf '\n]\n'; } >$@

# ---- installing

# $(BUILD)/FILE is FILE with the paths and the version filled in.
define fill_in
$(Q)mkdir -p $(@D)
$(Q)sed -e "s|'@LIBDIR@'|'$(LIBDIR)'|" -e "s|'@LIBEXECDIR@'|'$(LIBEXECDIR)'|" \
	-e "s|'@DATADIR@'|'$(DATADIR)'|" -e "s|'@VERSION@'|'$(version)'|" -e 's|/usr/local/lib/libgilshim|$(LIBDIR)/libgilshim|' \
	-e 's|/usr/local/share/gilshim|$(DATADIR)/gilshim|' \
	-e 's|/usr/local/libexec/gilshim|$(LIBEXECDIR)/gilshim|' $< >$@.new
$(Q)if cmp -s $@.new $@; then rm $@.new; else chmod $(1) $@.new && mv $@.new $@; fi
endef
$(BUILD)/run-with-shim.sh: run-with-shim.sh shim/version.h always
	$(call fill_in,755)
$(BUILD)/gilshim.1: shim/dist/gilshim.1 always
	$(call fill_in,644)

# README.md and the pages that it links to: side by side in one folder, where they are installed.
pages := README.md $(sort $(wildcard shim/doc/*.md))
built_pages := $(addprefix $(BUILD)/doc/,$(notdir $(pages)))
$(foreach page,$(pages),$(eval $(BUILD)/doc/$(notdir $(page)): $(page)))
$(built_pages): shim/dist/pages.sed
	$(Q)mkdir -p $(@D)
	$(Q)sed -f shim/dist/pages.sed $(filter %.md,$^) >$@.new && mv $@.new $@
pictures := $(sort $(wildcard shim/doc/*.svg))

# The files that uninstall removes. (Names can't contain blanks, as always with make.)
installed := $(LIBDIR)/libgilshim.so $(LIBEXECDIR)/gilshim/gilshim-inspect $(BINDIR)/run-with-shim.sh \
	$(addprefix $(DOCDIR)/,$(notdir $(pages) $(pictures))) \
	$(MANDIR)/man1/gilshim.1 $(MANDIR)/man1/run-with-shim.sh.1 $(COMPDIR)/run-with-shim.sh \
	$(ZSHDIR)/_gilshim $(FISHDIR)/run-with-shim.sh.fish \
	$(DATADIR)/gilshim/gilshim.supp $(DATADIR)/gilshim/plot.html

install: $(library) $(inspect) $(plot) $(BUILD)/run-with-shim.sh $(BUILD)/gilshim.1 $(built_pages)	## into DESTDIR and PREFIX
	$(Q)$(INSTALL) -d $(foreach folder,$(sort $(dir $(installed))),'$(DESTDIR)$(folder)')
	$(Q)$(INSTALL) -m 644 $(library) '$(DESTDIR)$(LIBDIR)/libgilshim.so'
	$(Q)$(INSTALL) -m 755 $(inspect) '$(DESTDIR)$(LIBEXECDIR)/gilshim/gilshim-inspect'
	$(Q)$(INSTALL) -m 755 $(BUILD)/run-with-shim.sh '$(DESTDIR)$(BINDIR)/run-with-shim.sh'
	$(Q)$(INSTALL) -m 644 $(built_pages) $(pictures) '$(DESTDIR)$(DOCDIR)'
	$(Q)$(INSTALL) -m 644 $(BUILD)/gilshim.1 '$(DESTDIR)$(MANDIR)/man1/gilshim.1'
	$(Q)ln -sf gilshim.1 '$(DESTDIR)$(MANDIR)/man1/run-with-shim.sh.1'
	$(Q)$(INSTALL) -m 644 shim/dist/run-with-shim.bash '$(DESTDIR)$(COMPDIR)/run-with-shim.sh'
	$(Q)$(INSTALL) -m 644 shim/dist/run-with-shim.zsh '$(DESTDIR)$(ZSHDIR)/_gilshim'
	$(Q)$(INSTALL) -m 644 shim/dist/run-with-shim.fish '$(DESTDIR)$(FISHDIR)/run-with-shim.sh.fish'
	$(Q)$(INSTALL) -m 644 shim/dist/gilshim.supp '$(DESTDIR)$(DATADIR)/gilshim/gilshim.supp'
	$(Q)$(INSTALL) -m 644 $(plot) '$(DESTDIR)$(DATADIR)/gilshim/plot.html'

uninstall:		## removes what install put there
	$(Q)rm -f $(foreach file,$(installed),'$(DESTDIR)$(file)')
	$(Q)for folder in '$(DESTDIR)$(DOCDIR)' '$(DESTDIR)$(DATADIR)/gilshim' '$(DESTDIR)$(LIBEXECDIR)/gilshim'; do \
		! [ -d "$$folder" ] || rmdir --ignore-fail-on-non-empty "$$folder" || exit; \
	done

tarball := $(BUILD)/gilshim-$(version).tar.gz
# The tarball has the same bytes for the same commit, independent of user, time and machine. With PKG-INFO and
# pyproject.toml it is what Python calls an sdist, which pip can build.
dist:			## build/gilshim-VERSION.tar.gz of the committed sources, the same bytes each time; pip takes it
	$(Q)mkdir -p $(BUILD)
	$(call say,PACK,$(tarball))
	$(Q)git show HEAD:shim/dist/python/PKG-INFO.in | sed 's/@VERSION@/$(version)/' >$(BUILD)/PKG-INFO && git show HEAD:README.md >>$(BUILD)/PKG-INFO
	$(Q)git show HEAD:shim/dist/python/pyproject.toml >$(BUILD)/pyproject.toml
	$(Q)git -c tar.umask=0022 archive --format=tar --prefix=gilshim-$(version)/ --add-file=$(BUILD)/PKG-INFO --add-file=$(BUILD)/pyproject.toml HEAD >$(tarball).tar
	$(Q)gzip -9n <$(tarball).tar >$(tarball).new && mv $(tarball).new $(tarball) && rm $(tarball).tar

# The library in a wheel is built for old C libraries, without debug information (which would name this folder).
machine = $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
wheel:			## build/wheel/gilshim-VERSION-py3-none-manylinux_2_28_ARCH.whl (CC=aarch64-linux-gnu-gcc for another ARCH)
	$(Q)$(MAKE) OLD_GLIBC=1 CC='$(CC)' CFLAGS='$(WHEEL_CFLAGS)' BUILD=$(BUILD)/wheel/$(machine) all
	$(call say,WHEEL,$(BUILD)/wheel)
	$(Q)$(PYTHON3) -B shim/dist/python/wheel.py --build $(BUILD)/wheel/$(machine) --policy manylinux_2_28 --folder $(BUILD)/wheel

# Built from the tarball, as a distribution would do it, with shim/dist/debian added as debian/.
deb: dist		## build/deb/gilshim_VERSION_ARCH.deb of the committed sources (needs dpkg-dev and debhelper)
	$(Q)rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb
	$(Q)cp $(tarball) $(BUILD)/deb/gilshim_$(version).orig.tar.gz
	$(Q)tar -xzf $(tarball) -C $(BUILD)/deb
	$(Q)cp -r $(BUILD)/deb/gilshim-$(version)/shim/dist/debian $(BUILD)/deb/gilshim-$(version)/debian
	$(call say,DEB,$(BUILD)/deb)
	$(Q)cd $(BUILD)/deb/gilshim-$(version) && unset MAKEFLAGS MFLAGS MAKELEVEL && dpkg-buildpackage --build=binary --no-sign >../build.log 2>&1 || { tail -n 40 ../build.log; exit 1; }
	$(Q)ls $(BUILD)/deb/*.deb

# On a system without rpm's database, as Debian, RPMBUILD='rpmbuild --nodeps'.
RPMBUILD ?= rpmbuild
rpm: dist		## build/rpm/gilshim-VERSION-1.ARCH.rpm of the committed sources (needs rpmbuild)
	$(Q)rm -rf $(BUILD)/rpm && mkdir -p $(BUILD)/rpm/work
	$(Q)git show HEAD:shim/dist/gilshim.spec >$(BUILD)/rpm/gilshim.spec
	$(call say,RPM,$(BUILD)/rpm)
	$(Q)unset MAKEFLAGS MFLAGS MAKELEVEL && $(RPMBUILD) -bb --define '_topdir $(abspath $(BUILD))/rpm/work' --define '_sourcedir $(abspath $(BUILD))' \
		--define '_rpmdir $(abspath $(BUILD))/rpm' --define '_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm' \
		$(BUILD)/rpm/gilshim.spec >$(BUILD)/rpm/build.log 2>&1 || { tail -n 40 $(BUILD)/rpm/build.log; exit 1; }
	$(Q)ls $(BUILD)/rpm/*.rpm

clean:			## removes everything built
	$(Q)rm -rf build build-*

help:			## this list
	@sed -n 's/^\([a-z]*\):.*## *\(.*\)$$/  \1\t\2/p' Makefile | expand -t 14
	@printf '  unit\tunit tests of the parts that need no Python, under ASan and UBSan\n  fuzz\tdamaged ELF objects, for a minute\n  bench\twhat the shim costs, in time; bench-instructions: in instructions; bench-check: check=calls; bench-programs: whole programs\n' | expand -t 14
	@printf "  faults\tcalls of the shim's own fail, one by one; takes long (FAULTS='--tag TAG')\n" | expand -t 14
	@printf '  nest\tthe nesting suite in full: generated programs of GIL blocks; takes long\n' | expand -t 14
	@printf "  noharm\tCPython's own tests with and without the shim; takes long (NOHARM='TAG...')\n" | expand -t 14
	@printf "  pybind11-tests  pybind11's own tests with and without the shim; fetches and builds them\n"
	@printf "  matrix\tthe tests with the interpreters of other Debians, in roots made by debootstrap (tests/matrix/run -h)\n" | expand -t 14
	@printf '  stacks\tApache with mod_wsgi, PyGObject and others from Debian, where they are installed\n' | expand -t 14
	@echo 'Variables: PREFIX LIBDIR LIBEXECDIR BINDIR DATADIR DOCDIR MANDIR COMPDIR ZSHDIR FISHDIR DESTDIR CC CFLAGS CPPFLAGS LDFLAGS V=1 WERROR=1 SANITIZE=address,undefined'
