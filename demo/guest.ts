/**
 * The smallest guest that shows whether its disks come back: one boot sector.
 *
 * For each of its disks it reads the number in sector 1, counts it up, writes it back and prints it on the serial
 * port. Then it powers off through APM, or, if it is to stay, counts again at every key.
 */

const CODE = [
  // start:
  0x31,
  0xc0, //                   xor ax, ax
  0x8e,
  0xd8, //                   mov ds, ax
  0x8e,
  0xd0, //                   mov ss, ax
  0xbc,
  0x00,
  0x7c, //             mov sp, 0x7c00
  0xb2,
  0x80, //                   mov dl, 0x80        ; first disk
  // disk:
  0xbe,
  0x76,
  0x7c, //             mov si, packet
  0xb4,
  0x42, //                   mov ah, 0x42        ; extended read
  0xcd,
  0x13, //                   int 0x13
  0x72,
  0x2f, //                   jc  counted         ; no such disk
  0xff,
  0x06,
  0x00,
  0x7e, //       inc word [0x7e00]
  0xb8,
  0x00,
  0x43, //             mov ax, 0x4300      ; extended write
  0xcd,
  0x13, //                   int 0x13
  0x72,
  0x24, //                   jc  counted
  0xa1,
  0x00,
  0x7e, //             mov ax, [0x7e00]
  0xbb,
  0x0a,
  0x00, //             mov bx, 10
  0x31,
  0xc9, //                   xor cx, cx
  0x52, //                         push dx
  // digit:
  0x31,
  0xd2, //                   xor dx, dx
  0xf7,
  0xf3, //                   div bx
  0x52, //                         push dx
  0x41, //                         inc cx
  0x85,
  0xc0, //                   test ax, ax
  0x75,
  0xf6, //                   jnz digit
  0xba,
  0xf8,
  0x03, //             mov dx, 0x3f8       ; COM1
  // print:
  0x58, //                         pop ax
  0x04,
  0x30, //                   add al, '0'
  0xee, //                         out dx, al
  0xe2,
  0xfa, //                   loop print
  0xb0,
  0x20, //                   mov al, ' '
  0xee, //                         out dx, al
  0x5a, //                         pop dx
  0xfe,
  0xc2, //                   inc dl              ; next disk
  0xeb,
  0xc8, //                   jmp disk
  // counted:
  0xba,
  0xf8,
  0x03, //             mov dx, 0x3f8
  0xb0,
  0x0a, //                   mov al, '\n'
  0xee, //                         out dx, al
  0x80,
  0x3e,
  0x75,
  0x7c,
  0x00, // cmp byte [stay], 0
  0x74,
  0x06, //                   je  off
  0x31,
  0xc0, //                   xor ax, ax          ; wait for a key
  0xcd,
  0x16, //                   int 0x16
  0xeb,
  0xaa, //                   jmp start
  // off:
  0xb8,
  0x01,
  0x53, //             mov ax, 0x5301      ; APM: connect
  0x31,
  0xdb, //                   xor bx, bx
  0xcd,
  0x15, //                   int 0x15
  0xb8,
  0x0e,
  0x53, //             mov ax, 0x530e      ; APM: version 1.2
  0x31,
  0xdb, //                   xor bx, bx
  0xb9,
  0x02,
  0x01, //             mov cx, 0x0102
  0xcd,
  0x15, //                   int 0x15
  0xb8,
  0x07,
  0x53, //             mov ax, 0x5307      ; APM: power off
  0xbb,
  0x01,
  0x00, //             mov bx, 1
  0xb9,
  0x03,
  0x00, //             mov cx, 3
  0xcd,
  0x15, //                   int 0x15
  // halt:
  0xf4, //                         hlt
  0xeb,
  0xfd, //                   jmp halt
];

/** The byte `stay`, and behind it the disk address packet: one sector, to 0000:7e00, from sector 1. */
const packet = [0x10, 0, 1, 0, 0x00, 0x7e, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];

export const SECTOR = 512;

/** @param stay count again at every key, instead of powering off */
export function bootSector({ stay }: { stay: boolean }): Uint8Array<ArrayBuffer> {
  const sector = new Uint8Array(SECTOR);
  sector.set([...CODE, stay ? 1 : 0, ...packet]);
  sector.set([0x55, 0xaa], SECTOR - 2);
  return sector;
}

/** A raw disk of 1 MiB with that boot sector and a count of 0. */
export function disk(options: { stay: boolean }): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(1024 * 1024);
  bytes.set(bootSector(options));
  return bytes;
}
