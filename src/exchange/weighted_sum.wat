;; The arithmetic of the all-reduce on one block, four floats at a time. `target` begins at byte 1024 of the memory, the
;; vector at `source`; a block's bytes are a multiple of 16. Products and sums are rounded to float32 one by one: there
;; is no fused multiply-add in it.
(module
  (memory (export "memory") 2)

  ;; target = weight * vector
  (func (export "scale") (param $source i32) (param $bytes i32) (param $weight f32)
    (local $at i32)
    (loop $next
      (v128.store offset=1024 (local.get $at)
        (f32x4.mul (f32x4.splat (local.get $weight))
          (v128.load (i32.add (local.get $source) (local.get $at)))))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 16)))
        (local.get $bytes)))))

  ;; target = target + weight * vector
  (func (export "add") (param $source i32) (param $bytes i32) (param $weight f32)
    (local $at i32)
    (loop $next
      (v128.store offset=1024 (local.get $at)
        (f32x4.add (v128.load offset=1024 (local.get $at))
          (f32x4.mul (f32x4.splat (local.get $weight))
            (v128.load (i32.add (local.get $source) (local.get $at))))))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 16)))
        (local.get $bytes)))))

  ;; 1 when some float of target is NaN or infinite: when its exponent has all bits set
  (func (export "anyBad") (param $bytes i32) (result i32)
    (local $at i32)
    (local $bad v128)
    (loop $next
      (local.set $bad (v128.or (local.get $bad)
        (i32x4.eq
          (v128.and (v128.load offset=1024 (local.get $at)) (i32x4.splat (i32.const 0x7f800000)))
          (i32x4.splat (i32.const 0x7f800000)))))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 16)))
        (local.get $bytes))))
    (v128.any_true (local.get $bad))))
