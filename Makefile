# gilshim: GNU Make. `make help` lists the targets.

.DELETE_ON_ERROR:
MAKEFLAGS += -rR

PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
BINDIR  ?= $(PREFIX)/bin
CC      = gcc
CFLAGS  ?= -O2 -g
BUILD   := build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
comma   := ,

ifndef V
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)';
endif

# Ours are kept apart from the user's CFLAGS, CPPFLAGS and LDFLAGS, which come last and win.
warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wpointer-arith
shim_cppflags := -D_GNU_SOURCE -Ishim
shim_cflags := -std=gnu11 -fPIC -fvisibility=hidden -ftls-model=initial-exec -fexceptions \
	$(warnings) $(if $(WERROR),-Werror) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer)
shim_ldflags := -shared -Wl,-soname,libgilshim.so -Wl,-Bsymbolic-functions -Wl,-z,now -Wl,-z,relro -Wl,-z,defs -Wl,-z,nodelete

sources := $(wildcard shim/*.c) $(wildcard shim/*.S)
objects := $(patsubst %,$(BUILD)/%.o,$(sources))
library := $(BUILD)/libgilshim.so

.PHONY: all
all: $(library)

$(library): $(objects)
	$(call say,LINK,$@)
	$(Q)$(CC) $(shim_ldflags) $(shim_cflags) $(CFLAGS) $(LDFLAGS) -o $@ $(objects) -ldl -lpthread

$(BUILD)/%.c.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(shim_cppflags) $(shim_cflags) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d -c -o $@ $<

$(BUILD)/%.S.o: %.S Makefile
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(shim_cppflags) $(CPPFLAGS) -MMD -MP -MF $@.d -c -o $@ $<

-include $(objects:=.d)
