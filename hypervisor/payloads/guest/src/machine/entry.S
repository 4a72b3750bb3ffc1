// Where CPUs begin, and where exceptions arrive.
//
// Nothing is written to memory before the MMU and the caches are on, so there is nothing to clean or to drop.

.section .text.entry, "ax"

// The header of a Linux Image (Documentation/arch/arm64/booting.rst), then the boot CPU: EL1, MMU off, x0 is the
// device tree.
.global _start
_start:
	b	boot
	.long	0
	.quad	0			// offset from a boundary of 2 MiB
	.quad	__image_size
	.quad	0xa			// little-endian, pages of 4 KiB, anywhere in memory
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0

boot:
	// How it was entered, until there is memory to write it to.
	mov	x19, x0
	mov	x20, x1
	mov	x21, x2
	mov	x22, x3
	mrs	x23, sctlr_el1
	mrs	x24, currentel
	mrs	x25, daif
	mrs	x26, spsel
	mrs	x0, mpidr_el1
	and	x0, x0, #0xff
	bl	set_up

	adr	x11, _start
	adrp	x9, __relocations_start
	add	x9, x9, :lo12:__relocations_start
	adrp	x10, __relocations_end
	add	x10, x10, :lo12:__relocations_end
1:	cmp	x9, x10
	b.hs	2f
	ldp	x12, x13, [x9], #16
	ldr	x13, [x9], #8
	add	x13, x13, x11
	str	x13, [x11, x12]
	b	1b

2:	adrp	x9, __bss_start
	adrp	x10, __bss_end
	add	x10, x10, :lo12:__bss_end
3:	cmp	x9, x10
	b.hs	4f
	stp	xzr, xzr, [x9], #16
	b	3b

4:	sub	sp, sp, #64
	stp	x19, x20, [sp]
	stp	x21, x22, [sp, #16]
	stp	x23, x24, [sp, #32]
	stp	x25, x26, [sp, #48]
	mov	x0, sp
	bl	{MAIN}
5:	wfe
	b	5b

// Another CPU, from PSCI's CPU_ON: x0 is whatever the caller gave for it.
.global guest_secondary_entry
guest_secondary_entry:
	mov	x19, x0
	mov	x20, x1
	mov	x21, x2
	mov	x22, x3
	mrs	x23, sctlr_el1
	mrs	x24, currentel
	mrs	x25, daif
	mrs	x26, spsel
	mrs	x0, mpidr_el1
	and	x0, x0, #0xff
	bl	set_up
	sub	sp, sp, #64
	stp	x19, x20, [sp]
	stp	x21, x22, [sp, #16]
	stp	x23, x24, [sp, #32]
	stp	x25, x26, [sp, #48]
	mov	x0, sp
	bl	{SECONDARY_MAIN}
1:	wfe
	b	1b

// Sets up the CPU with index x0: its stack, EL1, the MMU. Changes x9 and x10.
set_up:
	msr	daifset, #0xf
	msr	spsel, #1
	adrp	x9, __stacks_start
	add	x10, x0, #1
	add	x9, x9, x10, lsl #16
	mov	sp, x9

	// Floating point and SIMD are not trapped.
	mov	x9, #(3 << 20)
	msr	cpacr_el1, x9

	// Attribute 0 is Device-nGnRE, 1 Normal write-back, 2 Normal non-cacheable.
	movz	x9, #0x44, lsl #16
	movk	x9, #0xff04
	msr	mair_el1, x9
	// 39 bits of address from TTBR0 only, walks through the caches, 40 bits of physical address.
	movz	x9, #0x2, lsl #32
	movk	x9, #0x0080, lsl #16
	movk	x9, #0x3519
	msr	tcr_el1, x9
	adrp	x9, guest_level1
	msr	ttbr0_el1, x9
	adrp	x9, vectors
	add	x9, x9, :lo12:vectors
	msr	vbar_el1, x9
	isb
	tlbi	vmalle1
	ic	iallu
	dsb	nsh
	isb
	// The bits that are one, and MMU, caches and stack alignment.
	movz	x9, #0x30d0, lsl #16
	movk	x9, #0x180d
	msr	sctlr_el1, x9
	isb
	ret

// Keeps what the procedure call standard does not, calls a function with that, and goes back.
.macro exception handler
	sub	sp, sp, #192
	stp	x0, x1, [sp]
	stp	x2, x3, [sp, #16]
	stp	x4, x5, [sp, #32]
	stp	x6, x7, [sp, #48]
	stp	x8, x9, [sp, #64]
	stp	x10, x11, [sp, #80]
	stp	x12, x13, [sp, #96]
	stp	x14, x15, [sp, #112]
	stp	x16, x17, [sp, #128]
	stp	x18, x30, [sp, #144]
	mrs	x0, elr_el1
	mrs	x1, spsr_el1
	stp	x0, x1, [sp, #160]
	mov	x0, sp
	bl	\handler
	ldp	x0, x1, [sp, #160]
	msr	elr_el1, x0
	msr	spsr_el1, x1
	ldp	x0, x1, [sp]
	ldp	x2, x3, [sp, #16]
	ldp	x4, x5, [sp, #32]
	ldp	x6, x7, [sp, #48]
	ldp	x8, x9, [sp, #64]
	ldp	x10, x11, [sp, #80]
	ldp	x12, x13, [sp, #96]
	ldp	x14, x15, [sp, #112]
	ldp	x16, x17, [sp, #128]
	ldp	x18, x30, [sp, #144]
	add	sp, sp, #192
	eret
.endm

interrupt:
	exception {INTERRUPT}
synchronous:
	exception {SYNCHRONOUS}

fault:
	mrs	x1, esr_el1
	mrs	x2, elr_el1
	mrs	x3, far_el1
	bl	{FAULT}
1:	wfe
	b	1b

.balign 0x800
vectors:
.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	.balign 0x80
	.if \number == 4
	b	synchronous
	.elseif \number == 5
	b	interrupt
	.else
	mov	x0, #\number
	b	fault
	.endif
.endr

// Calls with an immediate that is not the calling convention's.
.global guest_hvc_with_immediate
guest_hvc_with_immediate:
	hvc	#0x1234
	ret

// Loads x0 with the pair at x0, which an emulator of devices is not told the registers of.
.global guest_load_pair
guest_load_pair:
	ldp	x1, x2, [x0]
	add	x0, x1, x2
	ret

// Signs x0 with the modifier x1 by each of the five keys, and combines what comes out.
.arch_extension pauth
.global guest_sign
guest_sign:
	mov	x2, x0
	mov	x3, x0
	mov	x4, x0
	mov	x5, x0
	pacia	x2, x1
	pacib	x3, x1
	pacda	x4, x1
	pacdb	x5, x1
	pacga	x6, x0, x1
	eor	x0, x2, x3, ror #7
	eor	x0, x0, x4, ror #13
	eor	x0, x0, x5, ror #29
	eor	x0, x0, x6, ror #41
	ret
.arch_extension nopauth

// The identity map, in blocks of 1 GiB: devices, then 3 GiB of RAM. From 256 GiB on cases map what they like.
.section .data.tables, "aw"
.balign 4096
.global guest_level1
guest_level1:
	.quad	0x00000000 | 1 << 54 | 1 << 53 | 1 << 10 | 1
	.quad	0x40000000 | 1 << 10 | 3 << 8 | 1 << 2 | 1
	.quad	0x80000000 | 1 << 54 | 1 << 10 | 3 << 8 | 1 << 2 | 1
	.quad	0xc0000000 | 1 << 54 | 1 << 10 | 3 << 8 | 1 << 2 | 1
	.fill	508, 8, 0
