// The including file's functions in the order of Bodies.
constexpr Bodies table = {
    widen,           round,
    add,
    add_scaled,      dot,
    rms_norm,        rotate_adjacent,
    rotate_halves,   swiglu,
    clamped_swiglu,  weighted_sum,
    sigmoid,         divide,
    maximum,         exp_sum,
    fixed_sum,       fixed_exp_row,
    attention_block, attention_end,
    attention_page,  attention_rows_end,
    lanes_in,        lanes_out,
};
