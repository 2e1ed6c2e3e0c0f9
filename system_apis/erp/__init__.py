"""ERP systems: master data, stock, purchasing and the books behind one canonical contract."""
