/** How many rows of `width` numbers, ascending by the first of each, begin with one that is not above `limit`. */
export function upperBound(rows: readonly number[], width: number, limit: number): number {
  let low = 0;
  let high = rows.length / width;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows[middle * width] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
