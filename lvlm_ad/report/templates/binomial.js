// Exact intervals of proportions (Clopper and Pearson, Biometrika 26:404-413, 1934), and of a mean of such proportions.
"use strict";
const binomial = (() => {
  // The logarithm of the gamma function, by the approximation of Lanczos with g = 7 and nine coefficients.
  const LANCZOS = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  const logGamma = (z) => {
    const x = z - 1;
    const sum = LANCZOS.reduce((total, one, at) => total + (at ? one / (x + at) : one), 0);
    const t = x + 7.5;
    return 0.5 * Math.log(2 * Math.PI) + (x + 0.5) * Math.log(t) - t + Math.log(sum);
  };

  // The continued fraction of the incomplete beta function, evaluated by Lentz's method; it converges quickly for
  // x below (a + 1) / (a + b + 2).
  const fraction = (x, a, b) => {
    const nonzero = (value) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
    let c = 1;
    let d = 1 / nonzero(1 - ((a + b) * x) / (a + 1));
    let result = d;
    for (let m = 1; m <= 100000; m++) {
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      let change = 1;
      for (const term of [even, odd]) {
        d = 1 / nonzero(1 + term * d);
        c = nonzero(1 + term / c);
        change = c * d;
        result *= change;
      }
      if (Math.abs(change - 1) < 1e-15) break;
    }
    return result;
  };

  // The regularised incomplete beta function.
  const incompleteBeta = (x, a, b) => {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const scale = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x));
    return x < (a + 1) / (a + b + 2) ? (scale * fraction(x, a, b)) / a : 1 - (scale * fraction(1 - x, b, a)) / b;
  };

  // The quantile of a beta distribution: bisection until the ends are neighbours.
  const betaQuantile = (share, a, b) => {
    let low = 0;
    let high = 1;
    for (let step = 0; step < 200; step++) {
      const middle = (low + high) / 2;
      if (middle <= low || middle >= high) break;
      if (incompleteBeta(middle, a, b) < share) low = middle;
      else high = middle;
    }
    return high;
  };

  // The 95 % interval of "successes" among n; null without trials. A threshold that moves meets the same counts again.
  const known = new Map();
  const interval = (successes, n) => {
    if (!n) return null;
    const key = successes + "/" + n;
    if (!known.has(key)) {
      const low = successes === 0 ? 0 : betaQuantile(0.025, successes, n - successes + 1);
      const high = successes === n ? 1 : betaQuantile(0.975, successes + 1, n - successes);
      known.set(key, [low, high]);
    }
    return known.get(key);
  };

  // The interval of a mean of independent values from their own: the distances of the ends are squared and added (Zou
  // and Donner, Stat. Med. 27:1693-1702, 2008).
  const meanInterval = (points, ends) => {
    const n = points.length;
    const mean = points.reduce((sum, one) => sum + one, 0) / n;
    const distance = (end) => Math.hypot(...points.map((point, at) => point - ends[at][end])) / n;
    return [Math.max(0, mean - distance(0)), Math.min(1, mean + distance(1))];
  };

  return { interval, meanInterval };
})();
