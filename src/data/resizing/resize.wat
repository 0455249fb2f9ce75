;; The two passes of src/data/resizing/resize.ts in WebAssembly, four or sixteen bytes at a time. Weights have 22 bits
;; behind the point; sums begin with a half, so that they round.
;;
;; An axis is a list of records of 32-bit numbers, one for each position of the result: the first position
;; of the source that counts, how many count (at least one), and that many weights. Records have one length.
;;
;; Both passes read up to 15 bytes behind a row, and write as many, which the next row then overwrites: the
;; caller leaves room behind the last one. After a change: deno task make:wasm
(module
  (memory (export "memory") 1)

  ;; Along x: pixels of three bytes.
  (func (export "alongX")
    (param $source i32) (param $stride i32) (param $rows i32) ;; stride: bytes from row to row
    (param $axis i32) (param $record i32) (param $width i32) ;; record: bytes; width: of the result
    (param $result i32) ;; packed rows
    (local $x i32) (local $at i32) (local $from i32) (local $weight i32) (local $end i32)
    (local $sum v128)
    (loop $row
      (local.set $x (local.get $width))
      (local.set $at (local.get $axis))
      (loop $pixel
        (local.set $from
          (i32.add (local.get $source) (i32.mul (i32.load (local.get $at)) (i32.const 3))))
        (local.set $weight (i32.add (local.get $at) (i32.const 8)))
        (local.set $end
          (i32.add
            (local.get $weight)
            (i32.shl (i32.load offset=4 (local.get $at)) (i32.const 2))))
        (local.set $sum (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
        (loop $tap
          (local.set $sum
            (i32x4.add
              (local.get $sum)
              (i32x4.mul
                (i32x4.extend_low_i16x8_u
                  (i16x8.extend_low_i8x16_u (v128.load32_zero (local.get $from))))
                (v128.load32_splat (local.get $weight)))))
          (local.set $from (i32.add (local.get $from) (i32.const 3)))
          (br_if $tap
            (i32.lt_u
              (local.tee $weight (i32.add (local.get $weight) (i32.const 4)))
              (local.get $end))))
        (local.set $sum (i32x4.shr_s (local.get $sum) (i32.const 22)))
        (local.set $sum (i16x8.narrow_i32x4_s (local.get $sum) (local.get $sum)))
        (v128.store32_lane 0
          (local.get $result)
          (i8x16.narrow_i16x8_u (local.get $sum) (local.get $sum)))
        (local.set $result (i32.add (local.get $result) (i32.const 3)))
        (local.set $at (i32.add (local.get $at) (local.get $record)))
        (br_if $pixel (local.tee $x (i32.sub (local.get $x) (i32.const 1)))))
      (local.set $source (i32.add (local.get $source) (local.get $stride)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1))))))

  ;; Along y: rows of any bytes.
  (func (export "alongY")
    (param $source i32) (param $stride i32) (param $bytes i32) ;; of a row, without what is behind it
    (param $axis i32) (param $record i32) (param $height i32) ;; record: bytes; height: of the result
    (param $result i32) (param $resultStride i32)
    (local $column i32) (local $from i32) (local $weight i32) (local $end i32) (local $w v128)
    (local $pixels v128) (local $half v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (loop $row
      (local.set $end
        (i32.add
          (i32.add (local.get $axis) (i32.const 8))
          (i32.shl (i32.load offset=4 (local.get $axis)) (i32.const 2))))
      (local.set $column (i32.const 0))
      (loop $chunk
        (local.set $from
          (i32.add
            (i32.add (local.get $source) (local.get $column))
            (i32.mul (i32.load (local.get $axis)) (local.get $stride))))
        (local.set $weight (i32.add (local.get $axis) (i32.const 8)))
        (local.set $a (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
        (local.set $b (local.get $a))
        (local.set $c (local.get $a))
        (local.set $d (local.get $a))
        (loop $tap
          (local.set $pixels (v128.load (local.get $from)))
          (local.set $w (v128.load32_splat (local.get $weight)))
          (local.set $half (i16x8.extend_low_i8x16_u (local.get $pixels)))
          (local.set $a
            (i32x4.add
              (local.get $a)
              (i32x4.mul (i32x4.extend_low_i16x8_u (local.get $half)) (local.get $w))))
          (local.set $b
            (i32x4.add
              (local.get $b)
              (i32x4.mul (i32x4.extend_high_i16x8_u (local.get $half)) (local.get $w))))
          (local.set $half (i16x8.extend_high_i8x16_u (local.get $pixels)))
          (local.set $c
            (i32x4.add
              (local.get $c)
              (i32x4.mul (i32x4.extend_low_i16x8_u (local.get $half)) (local.get $w))))
          (local.set $d
            (i32x4.add
              (local.get $d)
              (i32x4.mul (i32x4.extend_high_i16x8_u (local.get $half)) (local.get $w))))
          (local.set $from (i32.add (local.get $from) (local.get $stride)))
          (br_if $tap
            (i32.lt_u
              (local.tee $weight (i32.add (local.get $weight) (i32.const 4)))
              (local.get $end))))
        (v128.store
          (i32.add (local.get $result) (local.get $column))
          (i8x16.narrow_i16x8_u
            (i16x8.narrow_i32x4_s
              (i32x4.shr_s (local.get $a) (i32.const 22))
              (i32x4.shr_s (local.get $b) (i32.const 22)))
            (i16x8.narrow_i32x4_s
              (i32x4.shr_s (local.get $c) (i32.const 22))
              (i32x4.shr_s (local.get $d) (i32.const 22)))))
        (br_if $chunk
          (i32.lt_u
            (local.tee $column (i32.add (local.get $column) (i32.const 16)))
            (local.get $bytes))))
      (local.set $axis (i32.add (local.get $axis) (local.get $record)))
      (local.set $result (i32.add (local.get $result) (local.get $resultStride)))
      (br_if $row (local.tee $height (i32.sub (local.get $height) (i32.const 1)))))))
