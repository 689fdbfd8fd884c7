// The figures of decisions: rates with their exact intervals, means over categories, and the cost of a part.
"use strict";
const figures = (() => {
  const COUNTS = ["tp", "fn", "abstain_defect", "fp", "tn", "abstain_good"];
  const add = (list) => list.reduce((total, one) => total + one, 0);

  const rates = (counts) => {
    const bad = counts.tp + counts.fn + counts.abstain_defect;
    const good = counts.fp + counts.tn + counts.abstain_good;
    const shares = { recall: [counts.tp, bad], miss: [counts.fn, bad], false_alarm: [counts.fp, good], precision: [counts.tp, counts.tp + counts.fp] };
    const values = {};
    const interval = {};
    for (const [name, [part, whole]] of Object.entries(shares)) {
      values[name] = whole ? part / whole : null;
      if (whole) interval[name] = binomial.interval(part, whole);
    }
    values.balanced_accuracy = null;
    if (bad && good) {
      values.balanced_accuracy = (counts.tp / bad + counts.tn / good) / 2;
      interval.balanced_accuracy = binomial.meanInterval([counts.tp / bad, counts.tn / good], [interval.recall, binomial.interval(counts.tn, good)]);
    }
    const silent = { silent_defect: bad ? counts.abstain_defect / bad : null, silent_good: good ? counts.abstain_good / good : null };
    return { ...counts, ...values, ...silent, interval };
  };

  const sum = (every) => Object.fromEntries(COUNTS.map((name) => [name, add(every.map((one) => one[name]))]));

  // Each rate is averaged over the categories in which it is defined.
  const mean = (every) => {
    const result = { interval: {} };
    for (const name of ["recall", "miss", "false_alarm", "precision", "balanced_accuracy", "silent_defect", "silent_good"]) {
      const defined = every.filter((one) => one[name] !== null);
      const points = defined.map((one) => one[name]);
      result[name] = points.length ? add(points) / points.length : null;
      const ends = defined.map((one) => one.interval[name]);
      if (points.length && !ends.includes(undefined)) result.interval[name] = binomial.meanInterval(points, ends);
    }
    return result;
  };

  const precisionAt = (share, { recall, false_alarm }) => {
    if (recall === null || false_alarm === null) return null;
    const found = share * recall;
    const alarms = found + (1 - share) * false_alarm;
    return alarms ? found / alarms : null;
  };

  // The expected cost of a part, from rates or, if "upper", from the upper ends of their intervals; null if one kind of
  // image is missing.
  const cost = (of, prices, upper) => {
    if (of.miss === null || of.false_alarm === null) return null;
    const [miss, falseAlarm] = ["miss", "false_alarm"].map((name) => (upper ? of.interval[name][1] : of[name]));
    const bad = miss * prices.miss + of.silent_defect * prices.check;
    const good = falseAlarm * prices.false_alarm + of.silent_good * prices.check;
    return prices.prevalence * bad + (1 - prices.prevalence) * good + prices.model;
  };

  return { COUNTS, rates, sum, mean, precisionAt, cost };
})();
